package proxy

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stuckLimit is how long what was sent may wait for the other side of a connection.
const stuckLimit = 15 * time.Minute

// patient lets the kernel end connections whose other side takes nothing for so
// long, though it lives, or acknowledges nothing, since it does not (RFC 5482):
// hostile 136. What closed already and is not sent yet ends by it, too. Sockets
// that are not TCP's are left alone.
func patient(d time.Duration, cs ...net.Conn) {
	for _, c := range cs {
		if o, ok := c.(*outbound); ok {
			c = o.TCPConn
		}
		t, ok := c.(*net.TCPConn)
		if !ok {
			continue
		}
		if raw, err := t.SyscallConn(); err == nil {
			_ = control(raw, func(fd int) error {
				return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d/time.Millisecond))
			})
		}
	}
}

func control(c syscall.RawConn, do func(fd int) error) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = do(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}
