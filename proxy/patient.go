package proxy

import (
	"cmp"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Patience is how long clients are waited for; what is 0 is the default.
type Patience struct {
	Handshake time.Duration // a handshake of TLS or SOCKS, or the head of a request: 10 s
	Keep      time.Duration // another request on a connection: 2 min
	Inspect   time.Duration // a body that policy reads, which others wait behind: 30 s
	Leave     time.Duration // the rest of a body that nobody reads any more, over HTTP/1: 5 s
	Take      time.Duration // what was sent is taken, as the kernel sees it: 15 min
}

func (p Patience) or(d Patience) Patience {
	return Patience{Handshake: cmp.Or(p.Handshake, d.Handshake), Keep: cmp.Or(p.Keep, d.Keep), Inspect: cmp.Or(p.Inspect, d.Inspect), Leave: cmp.Or(p.Leave, d.Leave), Take: cmp.Or(p.Take, d.Take)}
}

var defaultPatience = Patience{Handshake: 10 * time.Second, Keep: 2 * time.Minute, Inspect: 30 * time.Second, Leave: 5 * time.Second, Take: 15 * time.Minute}

// idle is how long a client may stop.
func (g *Gate) idle() time.Duration {
	return cmp.Or(time.Duration(g.Sandbox().Limits.TunnelIdle)*time.Second, g.srv.cfg.TunnelIdle)
}

// hurry bounds what is left of an exchange when its client is waited for by nobody of
// ours: over HTTP/1 net/http reads what there is of the body, and over HTTP/2 it waits
// for room for the last of the answer, neither with an end.
func (x *exchange) hurry(closing bool) {
	switch {
	case x.hurried:
	case x.r.ProtoMajor == 2:
		_ = x.rc.SetWriteDeadline(time.Now().Add(x.gate.idle()))
	case x.r.ContentLength != 0 && (x.arrives == nil || !x.arrives.whole.Load()):
		leave := x.srv.cfg.Patience.Leave
		if closing {
			leave = min(leave, time.Second)
		}
		_ = x.rc.SetReadDeadline(time.Now().Add(leave))
	}
	x.hurried = true
}

// stalled is what becomes of an exchange whose client does not go on.
func stalled() *Refusal {
	return refuse(http.StatusRequestTimeout, "client_stalled", "the client stopped sending its request, or taking its answer").closing()
}

// stall ends the waiting for a client that stopped, so that its exchange can end.
func (x *exchange) stall(of stage) {
	past := time.Now().Add(-time.Second)
	if of == offering {
		_ = x.rc.SetReadDeadline(past)
	} else {
		_ = x.rc.SetWriteDeadline(past)
	}
}

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
