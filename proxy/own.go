package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// ownAddresses asks the kernel which addresses are this machine's: those of its
// interfaces, and all that its routes call local. It asks each time, so what
// changes is seen at once. It is safe for concurrent use, and speaks of the network
// namespace in which it was made.
type ownAddresses struct {
	mu  sync.Mutex
	fd  int
	seq uint32
}

func newOwnAddresses() (*ownAddresses, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("a socket to ask for routes: %w", err)
	}
	err = errors.Join(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}))
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("a socket to ask for routes: %w", err)
	}
	return &ownAddresses{fd: fd}, nil
}

func (o *ownAddresses) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = unix.Close(o.fd)
	o.fd = -1
}

// has reports whether what is sent to an address arrives at this machine itself.
func (o *ownAddresses) has(a netip.Addr) (bool, error) {
	const header, route, attribute = unix.NLMSG_HDRLEN, unix.SizeofRtMsg, unix.SizeofRtAttr
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seq++
	raw := a.AsSlice()
	msg := make([]byte, header+route+attribute+len(raw))
	h := binary.NativeEndian
	h.PutUint32(msg, uint32(len(msg)))
	h.PutUint16(msg[4:], unix.RTM_GETROUTE)
	h.PutUint16(msg[6:], unix.NLM_F_REQUEST)
	h.PutUint32(msg[8:], o.seq)
	msg[header] = unix.AF_INET6
	if a.Is4() {
		msg[header] = unix.AF_INET
	}
	msg[header+1] = byte(a.BitLen())
	h.PutUint16(msg[header+route:], uint16(attribute+len(raw)))
	h.PutUint16(msg[header+route+2:], unix.RTA_DST)
	copy(msg[header+route+attribute:], raw)
	if err := unix.Sendto(o.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false, err
	}
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(o.fd, buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, err
		case n < header+4:
			return false, errors.New("a short answer about a route")
		case h.Uint32(buf[8:]) != o.seq: // of a question that was given up
			continue
		case h.Uint16(buf[4:]) == unix.NLMSG_ERROR:
			return unrouted(unix.Errno(-int32(h.Uint32(buf[header:]))))
		case h.Uint16(buf[4:]) != unix.RTM_NEWROUTE || n < header+route:
			return false, errors.New("no answer about a route")
		}
		switch buf[header+7] {
		case unix.RTN_LOCAL, unix.RTN_BROADCAST, unix.RTN_ANYCAST:
			return true, nil
		}
		return false, nil
	}
}

// unrouted says what it means that there is no route: nothing is there, this
// machine neither. Whatever else goes wrong is an error.
func unrouted(e unix.Errno) (bool, error) {
	switch e {
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL:
		return false, nil
	}
	return false, e
}
