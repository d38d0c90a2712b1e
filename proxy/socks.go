package proxy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"sallyport/proxy/records"
	"sallyport/proxy/socks"
)

// hear takes a connection to the explicit proxy to where what it speaks is read:
// SOCKS5 by its first byte, HTTP otherwise.
func (f *flow) hear(c net.Conn) {
	defer f.recovered()
	f.deadline(f.gate.srv.cfg.Patience.Handshake)
	var first [1]byte
	if _, err := io.ReadFull(c, first[:]); err != nil { // it asked for nothing
		f.end()
		return
	}
	f.mute.Store(false)
	if tc, ok := c.(*records.Conn); ok && tc.ConnectionState().NegotiatedProtocol == "h2" {
		f.deadline(0)
		f.share(tc, first[0])
		return
	}
	switch first[0] {
	case socks.Version5:
		f.socks(c)
	case socks.Version4:
		f.route.ingress = "socks"
		_ = socks.Reject4(c)
		f.turnedAway(refuse(http.StatusBadRequest, "socks_version", "SOCKS4 is not spoken here, SOCKS5 is"))
		f.part(c)
	default:
		f.deadline(0)
		f.gate.srv.out.push(f.strict(c, first[0]))
	}
}

// socks takes a connection from behind the first byte of a SOCKS5 handshake to
// where all others are carried.
func (f *flow) socks(c net.Conn) {
	f.route.ingress = "socks"
	req, err := socks.Accept(c, f.password())
	if err == nil && f.route.shown != nil && !f.route.shown.known.Load() { // a door that asks for no token
		if ref := f.route.shown.let(nil, source(f.raw.RemoteAddr())); ref != nil {
			_ = socks.Answer(c, socks.NotAllowed)
			err = ref
		}
	}
	if err != nil {
		f.turnedAway(f.socksRefusal(err))
		f.part(c)
		return
	}
	f.deadline(0)
	r := route{ingress: "socks", shown: f.route.shown, answer: func(ref *Refusal) error {
		_ = c.SetWriteDeadline(time.Now().Add(f.gate.srv.cfg.Patience.Handshake))
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
		return socks.Answer(c, socksReply(ref))
	}}
	// An address is what a client that looks names up itself was told, as it is on a
	// transparent socket: the name that it stands for, or one inside, is the destination.
	if a, ok := req.To.Host().Addr(); ok {
		r.dst = netip.AddrPortFrom(a, req.To.Port())
	} else {
		r.connect = req.To
	}
	if req.Command != socks.Connect {
		f.route.dst, f.route.connect = r.dst, r.connect
		_ = f.identify()
		_ = socks.Answer(c, socks.CommandUnsupported)
		f.refusedOpaque(refuse(http.StatusMethodNotAllowed, "socks_command", "of SOCKS only CONNECT is carried").operator("the client asked for %s (%d)", req.Command, req.Command), nil, "socks")
		f.part(c)
		return
	}
	f.handOver()
	f.gate.carry(c, r)
}

// password judges what is shown at a door that asks for a token, and is nil where
// none is asked for.
func (f *flow) password() func([]byte) error {
	s := f.route.shown
	if s == nil || len(s.door.asks.Load().Tokens) == 0 {
		return nil
	}
	return func(shown []byte) error {
		digest := sha256.Sum256(shown)
		if ref := s.let(&digest, source(f.raw.RemoteAddr())); ref != nil {
			return ref
		}
		return nil
	}
}

// socksRefusal is why a handshake came to nothing.
func (f *flow) socksRefusal(err error) *Refusal {
	var ref *Refusal
	var bad *socks.AddressError
	switch {
	case errors.As(err, &ref):
		return ref
	case errors.Is(err, socks.ErrNoMethod) && f.password() != nil:
		return refuse(http.StatusProxyAuthRequired, "proxy_auth_required", "this proxy asks for the sandbox's token")
	case errors.As(err, &bad):
		return refuse(http.StatusBadRequest, "host_invalid", "the destination of SOCKS is not a host name or address with a port").because(bad.Err)
	}
	return refuse(http.StatusBadRequest, "socks_invalid", "the SOCKS handshake could not be read").because(err)
}

// socksReply is what a client of SOCKS is told of a refusal.
func socksReply(ref *Refusal) socks.Reply {
	switch {
	case ref == nil:
		return socks.Succeeded
	case ref.Code == "name_unresolved" || ref.Code == "address_unknown":
		return socks.HostUnreachable
	case ref.Code == "connect_failed":
		return socks.Refused
	case ref.Code == "connect_timeout":
		return socks.Expired
	case ref.Status < 500 || ref.Code == "loop_detected":
		return socks.NotAllowed
	}
	return socks.Failure
}

// early is why a connection comes to nothing whatever is said on it, as far as a
// client can be told that waits for an answer before it says anything.
func (f *flow) early(w *ward) *Refusal {
	if f.route.answer == nil {
		return nil
	}
	if ref := w.stopped(); ref != nil || f.name.IsZero() {
		return ref
	}
	to := f.where(f.name)
	_, binding := w.sb.Binding(to)
	if ref := sealed(w.sb, binding || w.sb.Via(to) != nil); ref != nil {
		return ref
	}
	return w.shut(f.gate.ctx, f.question(w, "tcp", f.name).Destination)
}

// answer tells a client that waits for it whether its connection is made: with nil
// that it is. It is told once; told reports whether it was now.
func (f *flow) answer(ref *Refusal) (told bool, err error) {
	a := f.route.answer
	if a == nil {
		return false, nil
	}
	f.route.answer = nil
	if err := a(ref); err != nil {
		return true, fmt.Errorf("the client is not there to be answered: %w", err)
	}
	return true, nil
}

// over ends a connection that came to nothing: a client that waits for an answer
// is told, and any other sees that it was refused, not finished.
func (f *flow) over(ref *Refusal) {
	if told, _ := f.answer(ref); told {
		f.part(f.raw)
		return
	}
	f.reset()
}

// partWithin is how long a client may take to read why it is parted from.
const partWithin = time.Second

// part ends a connection so that the client can read what it was answered: bytes
// of its that nobody reads would make the kernel throw the answer away.
func (f *flow) part(c net.Conn) {
	defer f.end()
	f.deadline(partWithin)
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, c, 64<<10)
}
