package command

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// A broker is a process that runs programs for one that cannot, and only those that
// it was told at its start. Between the two is one connection: messages of JSON
// behind their length in four bytes.

// What messages and runs are bounded by, on both sides.
const (
	maxTable  = 1 << 20
	maxAsk    = 1 << 10
	maxReply  = 2*maxOutput + 4<<10
	maxAtOnce = 16
)

// ask is what the other side says after its start: run a program of the table, by
// its number, or give a run up.
type ask struct {
	ID      uint64 `json:"id"`
	Program int    `json:"program"`
	Cancel  bool   `json:"cancel,omitempty"`
}

// reply is the end of a run; the table is the first of all.
type reply struct {
	ID     uint64 `json:"id"`
	Output Output `json:"output"`
	Table  []Spec `json:"table,omitempty"`
}

func send(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	clear(b)
	return err
}

func receive(r io.Reader, most int, v any) error {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return err
	}
	if l := binary.BigEndian.Uint32(n[:]); int64(l) > int64(most) {
		return fmt.Errorf("a message of %d bytes", l)
	}
	b := make([]byte, binary.BigEndian.Uint32(n[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	defer clear(b)
	return json.Unmarshal(b, v)
}

// Brief tells a broker that begins which programs it runs, and waits until it is
// there. Who briefed it hands the connection on.
func Brief(c net.Conn, table []Spec) error {
	if err := send(c, table); err != nil {
		return err
	}
	var r reply
	return receive(c, maxTable, &r)
}

// Broke is the broker: it is briefed, and runs what it is asked to until the
// connection ends, and with it all that runs.
func Broke(c net.Conn) error {
	var table []Spec
	if err := receive(c, maxTable, &table); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var mu sync.Mutex // of writing, and of running
	running := map[uint64]context.CancelFunc{}
	tell := func(r reply) {
		mu.Lock()
		defer mu.Unlock()
		delete(running, r.ID)
		_ = send(c, r)
		clear(r.Output.Stdout)
	}
	tell(reply{})
	for {
		var a ask
		if err := receive(c, maxAsk, &a); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		mu.Lock()
		stop, known := running[a.ID]
		switch {
		case a.Cancel:
			if known {
				stop()
			}
		case a.ID == 0:
			mu.Unlock()
			tell(reply{Table: table})
			continue
		case known || a.Program < 0 || a.Program >= len(table) || len(running) >= maxAtOnce:
			mu.Unlock()
			if known {
				return errors.New("an id is used twice")
			}
			tell(reply{ID: a.ID, Output: Output{Code: -1, Failed: "there is no such program, or too many run at once"}})
			continue
		default:
			run, stop := context.WithCancel(ctx)
			running[a.ID] = stop
			wg.Go(func() {
				defer stop()
				out, err := Here{}.Run(run, table[a.Program])
				if err != nil {
					out = Output{Code: -1, Failed: err.Error()}
				}
				tell(reply{ID: a.ID, Output: out})
			})
		}
		mu.Unlock()
	}
}

// A Client has a broker run programs. It is safe for concurrent use.
type Client struct {
	c     net.Conn
	known map[string]int // by the text of the program

	writing sync.Mutex

	mu    sync.Mutex
	last  uint64
	waits map[uint64]chan Output
	gone  bool
}

var _ Runner = (*Client)(nil)

// Connect goes on with a broker that was briefed.
func Connect(c net.Conn) (*Client, error) {
	if err := send(c, ask{}); err != nil {
		return nil, err
	}
	var r reply
	if err := receive(c, maxTable, &r); err != nil {
		return nil, err
	}
	b := &Client{c: c, known: map[string]int{}, waits: map[uint64]chan Output{}}
	for i, s := range r.Table {
		b.known[s.key()] = i
	}
	go b.read()
	return b, nil
}

func (b *Client) read() {
	for {
		var r reply
		err := receive(b.c, maxReply, &r)
		b.mu.Lock()
		if err != nil {
			b.gone = true
			for _, w := range b.waits {
				close(w)
			}
			b.waits = nil
			b.mu.Unlock()
			return
		}
		if w := b.waits[r.ID]; w != nil {
			w <- r.Output // has room for one
			delete(b.waits, r.ID)
		}
		b.mu.Unlock()
	}
}

// Knows reports whether the broker was told of a program.
func (b *Client) Knows(s Spec) bool { _, ok := b.known[s.key()]; return ok }

// Close ends the broker and all that it runs.
func (b *Client) Close() error { return b.c.Close() }

// Run has the broker run a program. One that is given up is killed.
func (b *Client) Run(ctx context.Context, s Spec) (Output, error) {
	n, ok := b.known[s.key()]
	if !ok {
		return Output{}, errors.New("serve did not name it at its start")
	}
	ended := errors.New("the process that runs programs has ended: restart serve")
	b.mu.Lock()
	if b.gone {
		b.mu.Unlock()
		return Output{}, ended
	}
	b.last++
	id, w := b.last, make(chan Output, 1)
	b.waits[id] = w
	b.mu.Unlock()
	if err := b.tell(ask{ID: id, Program: n}); err != nil {
		return Output{}, ended
	}
	select {
	case out, ok := <-w:
		if !ok {
			return Output{}, ended
		}
		return out, nil
	case <-ctx.Done():
		b.mu.Lock()
		delete(b.waits, id)
		b.mu.Unlock()
		_ = b.tell(ask{ID: id, Cancel: true})
		return Output{}, context.Cause(ctx)
	}
}

// tell never waits for what reads: the two sides would wait for each other.
func (b *Client) tell(a ask) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	return send(b.c, a)
}
