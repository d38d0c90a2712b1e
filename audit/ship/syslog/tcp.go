package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/audit/ship"
)

// Options of a sink. Address is required.
type Options struct {
	Address string      // HOST:PORT
	TLS     *tls.Config // nil is plain TCP
	Form
	// Longest is the longest message that the server takes, in bytes; 0 means 8,096, with
	// which rsyslog begins. A record that is longer is rejected, never cut: the rest of it
	// would stand where a message of somebody else begins (hostile 153).
	Longest int
}

func (o Options) longest() int {
	if o.Longest > 0 {
		return o.Longest
	}
	return 8096
}

// dial connects, and proves who the server is when there is TLS.
func (o Options) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := &net.Dialer{KeepAlive: 15 * time.Second}
	if o.TLS == nil {
		return d.DialContext(ctx, "tcp", o.Address)
	}
	return (&tls.Dialer{NetDialer: d, Config: o.TLS}).DialContext(ctx, "tcp", o.Address)
}

// messages makes those of a batch that are not too long, and says which are.
func (o Options) messages(rs []ship.Record) (out [][]byte, no error) {
	var long ship.RejectedError
	for i, r := range rs {
		m := o.Message(r)
		if len(m) > o.longest() {
			long.Which, long.Why = append(long.Which, i), fmt.Sprintf("the message has %d bytes, and the server is said to take %d", len(m), o.longest())
			continue
		}
		out = append(out, m)
	}
	if len(long.Which) > 0 {
		no = &long
	}
	return out, no
}

// A TCP sink writes messages to a connection. The server acknowledges nothing: what
// it was sent shortly before a connection broke is sent again. It is for one goroutine.
type TCP struct {
	o      Options
	c      net.Conn
	gone   chan struct{} // closed when the server has ended c
	recent [][]byte      // the last messages, while one may still be lost
	bytes  int
	since  time.Time
}

var _ ship.Sink = (*TCP)(nil)

// What is sent again when a connection breaks: as much, and no older.
const (
	againBytes = 8 << 20
	againFor   = 30 * time.Second
)

// NewTCP makes one; nothing is connected yet.
func NewTCP(o Options) *TCP {
	o.Host = host(o.Host)
	return &TCP{o: o}
}

// Send returns when the server's kernel has all bytes of a batch.
func (s *TCP) Send(ctx context.Context, rs []ship.Record) error {
	ms, no := s.o.messages(rs)
	if s.c != nil && s.closed() {
		_ = s.Close()
	}
	var out []byte
	if s.c == nil {
		c, err := s.o.dial(ctx)
		if err != nil {
			return err
		}
		s.c, s.gone = c, make(chan struct{})
		go func(gone chan struct{}) {
			_, _ = io.Copy(io.Discard, c) // a server of syslog says nothing but that it goes
			close(gone)
		}(s.gone)
		if time.Since(s.since) > againFor {
			s.recent, s.bytes = nil, 0
		}
		for _, m := range s.recent {
			out = counted(out, m)
		}
	}
	for _, m := range ms {
		out = counted(out, m)
	}
	_ = s.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.c.Write(out)
	if err == nil {
		err = s.drained(ctx)
	}
	if err != nil {
		_ = s.Close()
		return fmt.Errorf("%s: %w", s.o.Address, err)
	}
	s.keep(ms)
	return no
}

// keep remembers what may have to be sent again.
func (s *TCP) keep(ms [][]byte) {
	if time.Since(s.since) > againFor {
		s.recent, s.bytes = nil, 0
	}
	s.since = time.Now()
	for _, m := range ms {
		s.recent, s.bytes = append(s.recent, m), s.bytes+len(m)
	}
	for s.bytes > againBytes {
		s.bytes -= len(s.recent[0])
		s.recent = s.recent[1:]
	}
}

// raw is the socket of the connection.
func (s *TCP) raw() (fd int, ok bool) {
	c := s.c
	if t, isTLS := c.(*tls.Conn); isTLS {
		c = t.NetConn()
	}
	t, isTCP := c.(*net.TCPConn)
	if !isTCP {
		return 0, false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err == nil
}

// closed reports whether the server has ended the connection, which a write does
// not notice at first.
func (s *TCP) closed() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// drained waits until the server's kernel has acknowledged what was written.
func (s *TCP) drained(ctx context.Context) error {
	end := time.Now().Add(writeTimeout)
	for wait := 100 * time.Microsecond; ; wait = min(2*wait, 50*time.Millisecond) {
		fd, ok := s.raw()
		if !ok {
			return nil
		}
		left, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		switch {
		case err != nil:
			return err
		case left == 0:
			if s.closed() {
				return errors.New("the server ended the connection")
			}
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%d bytes were not taken within %s", left, writeTimeout)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the connection.
func (s *TCP) Close() error {
	if s.c == nil {
		return nil
	}
	err := s.c.Close()
	s.c = nil
	return err
}

// String names the server.
func (s *TCP) String() string {
	if s.o.TLS != nil {
		return "syslog tls://" + s.o.Address
	}
	return "syslog tcp://" + s.o.Address
}
