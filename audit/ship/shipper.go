package ship

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"sallyport/audit"
)

// A Shipper brings the records of one log to one sink. It keeps a cursor, which
// moves when the receiver has what stands before it: after a crash some records
// come twice, and none is missing.
type Shipper struct {
	log    *audit.Log
	sink   Sink
	o      Options
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	state   State
	acked   chan struct{} // closed when Sent grows
	reader  *audit.Reader
	at      audit.Position // that is kept
	unsaved int
	savedAt time.Time
}

// Start begins to ship what stands behind the cursor.
func Start(log *audit.Log, sink Sink, o Options) (*Shipper, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	at, err := loadCursor(o.Dir, o.Name)
	if err != nil {
		return nil, err
	}
	s := &Shipper{log: log, sink: sink, o: o, done: make(chan struct{}), acked: make(chan struct{}), at: at, reader: log.Reader(at)}
	s.state = State{Name: o.Name, Kind: sink.String(), Sent: at.Sequence}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	go s.run(ctx)
	return s, nil
}

// State tells how it is.
func (s *Shipper) State() State {
	end, _ := s.log.Durable()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.state
	if end.Sequence > out.Sent {
		out.Behind = end.Sequence - out.Sent
	}
	return out
}

// Wait returns when the sink has a record, or ctx ends.
func (s *Shipper) Wait(ctx context.Context, sequence uint64) error {
	for {
		s.mu.Lock()
		sent, acked := s.state.Sent, s.acked
		s.mu.Unlock()
		if sent >= sequence {
			return nil
		}
		select {
		case <-acked:
		case <-s.done:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Stop ends it. What is waiting is sent as long as ctx lasts and the sink works.
func (s *Shipper) Stop(ctx context.Context) error {
	end, _ := s.log.Durable()
	if s.State().Err == "" {
		_ = s.Wait(ctx, end.Sequence)
	}
	s.cancel()
	<-s.done
	return errors.Join(s.save(), s.reader.Close(), s.sink.Close())
}

func (s *Shipper) run(ctx context.Context) {
	defer close(s.done)
	for ctx.Err() == nil {
		_, more := s.log.Durable()
		rs, at, err := s.batch(ctx)
		switch {
		case err != nil:
			s.failing(err)
			wait(ctx, maxPause/6)
		case at == s.at:
			if s.save() != nil || s.unsaved > 0 {
				wait(ctx, minPause)
				continue
			}
			select {
			case <-more:
			case <-ctx.Done():
			}
		default:
			if len(rs) == 0 || s.deliver(ctx, rs) {
				s.reached(at)
			}
		}
	}
}

// batch reads what comes next, and up to where. What the sink does not want is
// passed over.
func (s *Shipper) batch(ctx context.Context) (rs []Record, at audit.Position, err error) {
	size := 0
	for n := 0; n < 8*batchRecords && len(rs) < batchRecords && size < batchBytes; n++ {
		line, err := s.reader.Next()
		var gap *audit.GapError
		switch {
		case errors.Is(err, io.EOF):
			return rs, s.reader.Position(), nil
		case errors.As(err, &gap):
			if s.o.Lost != nil {
				s.o.Lost(gap.From, gap.To, gap.Error())
			}
			continue
		case err != nil && len(rs) > 0:
			return rs, s.reader.Position(), nil
		case err != nil:
			return nil, s.at, err
		}
		r := read(line)
		if s.o.Wants != nil && !s.o.Wants(r) {
			continue
		}
		r.Line = bytes.Clone(line)
		if s.o.Format != nil {
			formed, err := s.o.Format(r.Line)
			if err != nil {
				s.bury(ctx, []Record{r}, "it has no form for this sink: "+err.Error())
				continue
			}
			r.Line = formed
		}
		size += len(r.Line)
		rs = append(rs, r)
	}
	return rs, s.reader.Position(), nil
}

// read is what shipping needs to know of a line.
func read(line []byte) Record {
	var h struct {
		ID       string    `json:"event.id"`
		Sequence uint64    `json:"event.sequence"`
		Time     time.Time `json:"@timestamp"`
		Name     string    `json:"event.name"`
		Decision string    `json:"policy.decision"`
	}
	_ = json.Unmarshal(line, &h) // the reader has seen that it is one
	return Record{Sequence: h.Sequence, ID: h.ID, Time: h.Time, Name: h.Name, Decision: h.Decision}
}

// deliver sends a batch until the receiver has it, but for what it rejects. It
// reports false when ctx ended first.
func (s *Shipper) deliver(ctx context.Context, rs []Record) bool {
	for n := 0; ctx.Err() == nil; n++ {
		err := s.send(ctx, rs)
		if err == nil {
			s.working()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		var no *RejectedError
		if errors.As(err, &no) {
			return s.without(ctx, rs, no)
		}
		s.failing(fmt.Errorf("%s", describe(rs, err)))
		pause := min(minPause<<min(n, 10), maxPause)
		pause -= time.Duration(rand.Int64N(int64(pause) / 3))
		var later *WaitError
		if errors.As(err, &later) {
			pause = max(pause, min(later.For, maxWait))
		}
		wait(ctx, pause)
	}
	return false
}

func (s *Shipper) send(ctx context.Context, rs []Record) error {
	ctx, cancel := context.WithTimeoutCause(ctx, sendTimeout, fmt.Errorf("no answer within %s", sendTimeout))
	defer cancel()
	err := s.sink.Send(ctx, rs)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

// without buries what a receiver will never take, and sends the rest. When nobody
// says which that is, halves are tried.
func (s *Shipper) without(ctx context.Context, rs []Record, no *RejectedError) bool {
	if no.Which == nil && len(rs) > 1 {
		half := len(rs) / 2
		return s.deliver(ctx, rs[:half]) && s.deliver(ctx, rs[half:])
	}
	bad := rs
	if no.Which != nil {
		bad = nil
		for _, i := range no.Which {
			bad = append(bad, rs[i])
		}
	}
	s.bury(ctx, bad, no.Why)
	s.working()
	return ctx.Err() == nil
}

// bury keeps records that the sink does not get, and tells of them.
func (s *Shipper) bury(ctx context.Context, bad []Record, why string) {
	why = s.redacted(why)
	for ctx.Err() == nil {
		err := bury(s.o.Dir, s.o.Name, bad, why)
		if err == nil {
			break
		}
		s.failing(err) // nothing is left behind that is nowhere
		wait(ctx, maxPause/6)
	}
	s.mu.Lock()
	s.state.Rejected += uint64(len(bad))
	s.mu.Unlock()
	if s.o.Lost != nil {
		s.o.Lost(bad[0].Sequence, bad[len(bad)-1].Sequence, why)
	}
}

func (s *Shipper) redacted(why string) string {
	if s.o.Redact != nil {
		why = s.o.Redact(why)
	}
	return why
}

func (s *Shipper) failing(err error) {
	why := s.redacted(err.Error())
	s.mu.Lock()
	first := s.state.Err == ""
	if s.state.Err = why; first {
		s.state.Since = time.Now()
	}
	s.mu.Unlock()
	if first && s.o.Changed != nil {
		s.o.Changed(errors.New(why))
	}
}

func (s *Shipper) working() {
	s.mu.Lock()
	was := s.state.Err
	s.state.Err, s.state.Since, s.state.Last = "", time.Time{}, time.Now()
	s.mu.Unlock()
	if was != "" && s.o.Changed != nil {
		s.o.Changed(nil)
	}
}

// reached moves the cursor, which is kept now and then.
func (s *Shipper) reached(at audit.Position) {
	s.unsaved += int(at.Sequence - s.at.Sequence)
	s.at = at
	s.mu.Lock()
	s.state.Sent = at.Sequence
	close(s.acked)
	s.acked = make(chan struct{})
	s.mu.Unlock()
	if s.unsaved >= 10*batchRecords || time.Since(s.savedAt) >= 5*minPause {
		_ = s.save() // is tried again; what is sent twice is known by its id
	}
}

func (s *Shipper) save() error {
	if s.unsaved == 0 {
		return nil
	}
	err := saveCursor(s.o.Dir, s.o.Name, s.at)
	if err == nil {
		s.unsaved, s.savedAt = 0, time.Now()
	}
	return err
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
