package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// made are the descriptors that the init passes out, in the order of an answer.
type made struct {
	answer
	fds  []int
	keep []any // so that nothing is closed before it is passed
}

// listen makes every socket inside. A socket belongs for life to the namespace
// in which it was made.
func listen() (*made, error) {
	m := &made{}
	families := []string{"4"}
	if hasIPv6() {
		families = append(families, "6")
	}
	for _, f := range families {
		host := "0.0.0.0"
		if f == "6" {
			host = "::"
		}
		if err := m.tcp(&m.TCP, "tcp"+f, net.JoinHostPort(host, fmt.Sprint(doorPort)), true); err != nil {
			return nil, err
		}
	}
	for _, f := range families {
		lo := "127.0.0.1"
		if f == "6" {
			lo = "::1"
		}
		if err := m.tcp(&m.Explicit, "tcp"+f, net.JoinHostPort(lo, "3128"), false); err != nil {
			return nil, err
		}
	}
	for _, f := range families {
		host := "0.0.0.0"
		if f == "6" {
			host = "::"
		}
		if err := m.udp("udp"+f, net.JoinHostPort(host, "53")); err != nil {
			return nil, err
		}
	}
	for _, f := range families {
		host := "0.0.0.0"
		if f == "6" {
			host = "::"
		}
		if err := m.tcp(&m.DNSTCP, "tcp"+f, net.JoinHostPort(host, "53"), false); err != nil {
			return nil, err
		}
	}
	fd, err := openLog()
	if err != nil {
		return nil, fmt.Errorf("the log of refused packets: %w", err)
	}
	m.Log++
	m.fds = append(m.fds, fd)
	return m, nil
}

func (m *made) tcp(n *int, network, address string, transparent bool) error {
	lc := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			if network == "tcp6" {
				if err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
					return
				}
			}
			switch {
			case !transparent:
			case network == "tcp6":
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT, 1)
			default:
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1)
			}
		})
		if cerr != nil {
			return cerr
		}
		return err
	}}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return err
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	return m.add(n, f)
}

func (m *made) udp(network, address string) error {
	lc := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			if network == "udp6" {
				for _, opt := range []int{unix.IPV6_V6ONLY, unix.IPV6_RECVPKTINFO, unix.IPV6_FREEBIND} { // the last: to answer from any address
					if err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, opt, 1); err != nil {
						return
					}
				}
				return
			}
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		})
		if cerr != nil {
			return cerr
		}
		return err
	}}
	c, err := lc.ListenPacket(context.Background(), network, address)
	if err != nil {
		return err
	}
	f, err := c.(*net.UDPConn).File()
	if err != nil {
		return err
	}
	return m.add(&m.DNS, f)
}

func (m *made) add(n *int, f *os.File) error {
	*n++
	m.fds = append(m.fds, int(f.Fd()))
	m.keep = append(m.keep, f)
	return nil
}

// wrap makes Go's own of the descriptors that the init passed.
func wrap(a answer, fds []int) (*Sockets, *os.File, error) {
	s := &Sockets{}
	defer func() { // of what is left when something fails
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	next := func() *os.File {
		f := os.NewFile(uintptr(fds[0]), "sandbox")
		fds = fds[1:]
		return f
	}
	listeners := func(n int) (out []net.Listener, err error) {
		for range n {
			f := next()
			l, err := net.FileListener(f)
			_ = f.Close()
			if err != nil {
				return nil, err
			}
			if t, ok := l.(*net.TCPListener); ok {
				l = &listener{t}
			}
			out = append(out, l)
		}
		return out, nil
	}
	var err error
	if s.TCP, err = listeners(a.TCP); err != nil {
		return nil, nil, err
	}
	if s.Explicit, err = listeners(a.Explicit); err != nil {
		return nil, nil, err
	}
	for range a.DNS {
		f := next()
		c, err := net.FilePacketConn(f)
		_ = f.Close()
		if err != nil {
			return nil, nil, err
		}
		s.DNS = append(s.DNS, c.(*net.UDPConn))
	}
	if s.DNSTCP, err = listeners(a.DNSTCP); err != nil {
		return nil, nil, err
	}
	_ = unix.SetNonblock(fds[0], true)
	s.Log = &PacketLog{f: next()}
	var pty *os.File
	if a.Pty > 0 {
		_ = unix.SetNonblock(fds[0], true)
		pty = next()
	}
	return s, pty, nil
}

// A listener's connections close at once. They have the options of the listener,
// which others who have copies may have set: a close that lingers waits in the
// kernel for a client that does not read.
type listener struct{ *net.TCPListener }

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.AcceptTCP()
	if err != nil {
		return nil, err
	}
	if err := c.SetLinger(-1); err != nil && !errors.Is(err, net.ErrClosed) {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// End shuts all of them down, for whoever else has copies too, and closes them.
// Somebody who has copies may have made one blocking: closing alone would wait for
// what waits on it.
func (s *Sockets) End() {
	for _, ls := range [][]net.Listener{s.TCP, s.Explicit, s.DNSTCP} {
		for _, l := range ls {
			shut(l)
		}
	}
	for _, c := range s.DNS {
		shut(c)
	}
	s.Close()
}

// Close closes all of them. Others who have copies keep theirs.
func (s *Sockets) Close() {
	for _, ls := range [][]net.Listener{s.TCP, s.Explicit, s.DNSTCP} {
		for _, l := range ls {
			_ = l.Close()
		}
	}
	for _, c := range s.DNS {
		_ = c.Close()
	}
	_ = s.Log.Close()
}

func shut(v any) {
	c, ok := v.(syscall.Conn)
	if !ok {
		return
	}
	if rc, err := c.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
}
