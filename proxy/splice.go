package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// An unread connection stands before another one, of which it has read something
// that it did not pass on yet. Unread takes that out, and says which; afterwards
// only the other one is read.
type unread interface {
	Unread() (head []byte, below net.Conn)
}

// bare is the connection at the bottom, and what those above it have read.
func bare(c net.Conn) (head []byte, below net.Conn) {
	for {
		u, ok := c.(unread)
		if !ok {
			return head, c
		}
		var h []byte
		h, c = u.Unread()
		head = append(head, h...)
	}
}

var errSpent = errors.New("as much as may passed")

// relay carries one direction to its end and passes the end on. Between sockets
// the kernel moves the bytes; what waits holds neither buffer nor pipe.
func (s *span) relay(l *lane, dst, src net.Conn, head []byte) error {
	if err := s.put(l, dst, head); err != nil {
		return err
	}
	move := func() error { return s.copy(l, dst, src) }
	if to, ok := dst.(*net.TCPConn); ok {
		if from, ok := src.(syscall.Conn); ok {
			move = func() error { return s.splice(l, to, src, from) }
		}
	}
	if err := move(); err != nil {
		return err
	}
	if c, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	} else {
		_ = dst.Close()
	}
	return nil
}

// splice moves what waits, as often as something does. Its *net.TCPConn uses
// splice(2) for TCP and Unix sockets, and only while there is something to move:
// a pipe is two descriptors.
func (s *span) splice(l *lane, dst *net.TCPConn, src net.Conn, sock syscall.Conn) error {
	raw, err := sock.SyscallConn()
	if err != nil {
		return err
	}
	for {
		n, err := waiting(raw)
		if err != nil {
			return err
		}
		if n < 0 {
			return nil
		}
		if n == 0 { // urgent data, before which splice(2) stops: read past it, which drops its mark and its byte
			if err := s.copyOnce(l, dst, src, make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			continue
		}
		if n = s.room(l, n); n == 0 {
			return errSpent
		}
		m, err := dst.ReadFrom(&io.LimitedReader{R: src, N: n})
		s.passed(l, m)
		if err != nil {
			return err
		}
	}
}

// waiting returns when something can be read: how many bytes, none when urgent
// data comes first, or less at the end.
func waiting(c syscall.RawConn) (n int64, err error) {
	var one [1]byte
	rerr := c.Read(func(fd uintptr) bool {
		for again := false; ; again = true {
			have, e := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
			if n, err = int64(have), e; e != nil || have > 0 || again {
				return true
			}
			m, _, e := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			switch {
			case errors.Is(e, unix.EAGAIN):
				return false
			case errors.Is(e, unix.EINTR):
			case e != nil:
				err = e
				return true
			case m == 0:
				n = -1
				return true
			}
		}
	})
	return n, errors.Join(rerr, err)
}

// relayBuffers are for ends that are no sockets.
var relayBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// copy moves bytes through memory. The buffer is cleared before another sandbox
// can be given it.
func (s *span) copy(l *lane, dst io.Writer, src io.Reader) error {
	b := relayBuffers.Get().(*[]byte)
	defer func() { clear(*b); relayBuffers.Put(b) }()
	for {
		if err := s.copyOnce(l, dst, src, *b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// copyOnce reads once and writes what it read.
func (s *span) copyOnce(l *lane, dst io.Writer, src io.Reader, b []byte) error {
	n, rerr := src.Read(b)
	if err := s.put(l, dst, b[:n]); err != nil {
		return err
	}
	return rerr
}

// put writes as much as may pass.
func (s *span) put(l *lane, dst io.Writer, b []byte) error {
	for len(b) > 0 {
		n := s.room(l, int64(len(b)))
		if n == 0 {
			return errSpent
		}
		m, err := dst.Write(b[:n])
		s.passed(l, int64(m))
		if err != nil {
			return err
		}
		b = b[m:]
	}
	return nil
}
