package syslog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"sallyport/audit/ship"
)

// A RELP sink gives messages to a server that answers each: by the Reliable Event
// Logging Protocol, version 0. It is for one goroutine.
type RELP struct {
	o    Options
	c    net.Conn
	r    *bufio.Reader
	next int // number of the next transaction
}

var _ ship.Sink = (*RELP)(nil)

// NewRELP makes one; nothing is connected yet.
func NewRELP(o Options) *RELP {
	o.Host = host(o.Host)
	return &RELP{o: o}
}

// Bounds of the protocol: numbers of transactions have nine digits at most.
const (
	maxTransaction = 999_999_999
	maxReply       = 64 << 10
)

// Send returns when the server has answered for each message of a batch.
func (s *RELP) Send(ctx context.Context, rs []ship.Record) error {
	ms, no := s.o.messages(rs)
	if err := s.send(ctx, ms); err != nil {
		_ = s.end()
		return fmt.Errorf("%s: %w", s.o.Address, err)
	}
	return no
}

func (s *RELP) send(ctx context.Context, ms [][]byte) error {
	if s.c == nil {
		c, err := s.o.dial(ctx)
		if err != nil {
			return err
		}
		s.c, s.r, s.next = c, bufio.NewReader(c), 1
		n := s.number()
		if err := s.write(s.frame(nil, n, "open", []byte("relp_version=0\nrelp_software=sallyport\ncommands=syslog"))); err != nil {
			return err
		}
		if _, err := s.reply(ctx, map[int]bool{n: true}); err != nil {
			return err
		}
	}
	asked := map[int]bool{}
	var out []byte
	for _, m := range ms {
		n := s.number()
		asked[n] = true
		out = s.frame(out, n, "syslog", m)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- s.write(out) }() // answers come meanwhile, and have to be read
	for len(asked) > 0 {
		n, err := s.reply(ctx, asked)
		if err != nil {
			_ = s.c.Close()
			return errors.Join(<-wrote, err)
		}
		delete(asked, n)
	}
	return <-wrote
}

func (s *RELP) number() int {
	n := s.next
	if s.next++; s.next > maxTransaction {
		s.next = 1
	}
	return n
}

// frame is TXNR SP COMMAND SP DATALEN [SP DATA] LF.
func (s *RELP) frame(dst []byte, n int, command string, data []byte) []byte {
	dst = fmt.Appendf(dst, "%d %s %d", n, command, len(data))
	if len(data) > 0 {
		dst = append(append(dst, ' '), data...)
	}
	return append(dst, '\n')
}

func (s *RELP) write(b []byte) error {
	_ = s.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.c.Write(b)
	return err
}

// reply reads the next answer, which has to be 200 to something that was asked.
func (s *RELP) reply(ctx context.Context, asked map[int]bool) (int, error) {
	end := time.Now().Add(writeTimeout)
	if t, ok := ctx.Deadline(); ok && t.Before(end) {
		end = t
	}
	_ = s.c.SetReadDeadline(end)
	number, err := s.word(' ')
	if err != nil {
		return 0, err
	}
	command, err := s.word(' ')
	if err != nil {
		return 0, err
	}
	length, last, err := s.length()
	if err != nil {
		return 0, err
	}
	data := make([]byte, length)
	if last == ' ' {
		if _, err := io.ReadFull(s.r, data); err != nil {
			return 0, err
		}
		if c, err := s.r.ReadByte(); err != nil || c != '\n' {
			return 0, errors.New("its answer has no end")
		}
	}
	n, err := strconv.Atoi(number)
	switch {
	case command == "serverclose":
		return 0, errors.New("the server ends the connection")
	case err != nil || command != "rsp":
		return 0, errors.New("what it says is no answer of RELP")
	case !asked[n]:
		return 0, fmt.Errorf("it answers what was not asked: %d", n)
	case !bytes.HasPrefix(data, []byte("200")):
		return 0, fmt.Errorf("it answers %q", strings.ToValidUTF8(string(data[:min(len(data), 100)]), "?"))
	}
	return n, nil
}

// word reads up to a byte, which has to come soon.
func (s *RELP) word(end byte) (string, error) {
	var b []byte
	for len(b) < 32 {
		c, err := s.r.ReadByte()
		if err != nil {
			return "", err
		}
		if c == end {
			return string(b), nil
		}
		b = append(b, c)
	}
	return "", errors.New("what it says is no answer of RELP")
}

// length reads that of the data, and what stands behind it: a space before data, or
// the end.
func (s *RELP) length() (n int, last byte, err error) {
	var b []byte
	for len(b) < 10 {
		c, err := s.r.ReadByte()
		if err != nil {
			return 0, 0, err
		}
		if c == ' ' || c == '\n' {
			n, err := strconv.Atoi(string(b))
			if err != nil || n < 0 || n > maxReply || c == '\n' && n > 0 {
				break
			}
			return n, c, nil
		}
		b = append(b, c)
	}
	return 0, 0, errors.New("what it says is no answer of RELP")
}

func (s *RELP) end() error {
	if s.c == nil {
		return nil
	}
	err := s.c.Close()
	s.c = nil
	return err
}

// Close says goodbye, and ends the connection.
func (s *RELP) Close() error {
	if s.c != nil {
		_ = s.write(s.frame(nil, s.number(), "close", nil))
	}
	return s.end()
}

// String names the server.
func (s *RELP) String() string {
	if s.o.TLS != nil {
		return "relp tls://" + s.o.Address
	}
	return "relp tcp://" + s.o.Address
}
