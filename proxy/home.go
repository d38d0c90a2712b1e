package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// homes know what leads back into the proxy: the sockets on which it is connected
// to, and its own ends of connections to upstreams. They are safe for concurrent
// use.
type homes struct {
	own    func(netip.Addr) (bool, error)
	cookie uint64        // of the proxy's own network namespace
	take   time.Duration // of Patience

	mu   sync.Mutex
	open map[net.Listener]home

	out sync.Map // ends to *outbound
}

// A home is where a socket listens, and why nothing is sent there.
type home struct {
	at   netip.AddrPort
	kept bool // for somebody else than sandboxes
}

func newHomes(own func(netip.Addr) (bool, error), take time.Duration) *homes {
	return &homes{own: own, take: take, cookie: ownNamespace(), open: map[net.Listener]home{}}
}

// Reserve makes the address of a listener one that no sandbox reaches, whatever
// policy, prefixes or bindings say, until the returned function is called.
func (s *Server) Reserve(l net.Listener) (release func()) { return s.homes.add(l, true) }

// add keeps the address of a listener in the proxy's own namespace. Those in
// others have addresses that mean something else here.
func (h *homes) add(l net.Listener, kept bool) (remove func()) {
	at := addrPort(l.Addr())
	if c, ok := l.(syscall.Conn); !at.IsValid() || ok && namespaceOf(c) != h.cookie {
		return func() {}
	}
	h.mu.Lock()
	h.open[l] = home{at, kept}
	h.mu.Unlock()
	return func() {
		h.mu.Lock()
		delete(h.open, l)
		h.mu.Unlock()
	}
}

// refuses says why an address is not dialled although it may be reached: it is one
// of the proxy's own sockets (hostile 102).
func (h *homes) refuses(to netip.AddrPort) *Refusal {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.open {
		if l.at.Port() != to.Port() {
			continue
		}
		if l.at.Addr() != to.Addr() {
			if !l.at.Addr().IsUnspecified() {
				continue
			}
			if own, err := h.own(to.Addr()); err == nil && !own {
				continue
			}
		}
		if l.kept {
			return refuse(http.StatusForbidden, "address_denied", "the destination's address is not one that sandboxes may reach").operator("%s is a listener of sallyport", to)
		}
		return refuse(http.StatusLoopDetected, "loop_detected", "the destination is the proxy itself").operator("%s is a listener of sallyport", to).closing()
	}
	return nil
}

// ends are the two of a connection, as the side sees them that opened it.
type ends struct{ from, to netip.AddrPort }

// returned reports whether a connection that came in is one that went out: a
// transparent socket was given it.
func (h *homes) returned(c net.Conn) bool {
	_, ok := h.out.Load(ends{addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())})
	return ok
}

// leave remembers a connection to an upstream until it is closed.
func (h *homes) leave(c net.Conn) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	patient(h.take, t)
	o := &outbound{TCPConn: t, homes: h, ends: ends{addrPort(t.LocalAddr()), addrPort(t.RemoteAddr())}}
	h.out.Store(o.ends, o)
	return o
}

// An outbound is a connection to an upstream.
type outbound struct {
	*net.TCPConn
	homes *homes
	ends  ends
}

// Unread returns the connection itself: nothing of it was read.
func (o *outbound) Unread() ([]byte, net.Conn) { return nil, o.TCPConn }

// Close forgets the connection, then closes it.
func (o *outbound) Close() error {
	o.homes.out.CompareAndDelete(o.ends, o)
	return o.TCPConn.Close()
}

// namespaceOf is the cookie of a socket's network namespace, 0 when it is not known.
func namespaceOf(c syscall.Conn) (cookie uint64) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { cookie, _ = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE) })
	return cookie
}

func ownNamespace() uint64 {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	cookie, _ := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return cookie
}
