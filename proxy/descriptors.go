package proxy

import (
	"net/http"
	"syscall"

	"golang.org/x/sys/unix"
)

// Descriptors that are left for what no sandbox causes: records, control, policies.
const (
	leastSpared = 32
	mostSpared  = 512 // or an eighth of all
)

// descriptors is how many descriptors this process may have open for sandboxes. The limit is
// asked for each time: it can be changed from outside.
func descriptors() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	all := int(min(l.Cur, 1<<30))
	return all - min(max(all/8, leastSpared), mostSpared)
}

// crowded refuses a socket for which there is no descriptor. The kernel gives the lowest
// that is free, so that all below are taken. A sandbox that has many connections has less
// of what is left than one that has few, so there is room for others (hostile 135).
func crowded(c syscall.RawConn, has int64) *Refusal {
	n := -1
	if err := c.Control(func(fd uintptr) { n = int(fd) }); err != nil {
		return nil // it is closed
	}
	if left := descriptors() - n; left <= 0 || int64(left) < has {
		return refuse(http.StatusServiceUnavailable, "no_descriptors", "sallyport has as many connections open as it may").
			operator("descriptor %d is beyond what sandboxes may use, of %d; raise the limit (ulimit -n, LimitNOFILE=)", n, descriptors())
	}
	return nil
}

// enters takes one more connection of a listener, if there is room.
func (g *Gate) enters(c any) *Refusal {
	if !g.enter() {
		return refuse(http.StatusTooManyRequests, "too_many_connections", "this sandbox has too many connections open")
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	ref := crowded(raw, g.conns.Load())
	if ref != nil {
		g.conns.Add(-1)
	}
	return ref
}
