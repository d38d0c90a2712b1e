package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/audit"
)

// Asks are what has to be shown at a door, all that is set. Where neither tokens
// nor a client's certificate is asked for, nobody comes in.
type Asks struct {
	// Tokens are SHA-256 digests of those of which one comes with every request.
	Tokens [][sha256.Size]byte
	// TLS opens the connections; nil takes them as they are.
	TLS *tls.Config
	// Client judges the certificates that a client proved to hold, leaf first; nil
	// asks for none. It is called by many goroutines.
	Client func([]*x509.Certificate) error
}

// A Door is what the clients of one explicit listener show, beside coming to it,
// to be taken for the sandbox. It is safe for concurrent use.
type Door struct {
	asks      atomic.Pointer[Asks]
	strangers *strangers
}

// NewDoor makes a door that asks this.
func NewDoor(a Asks) *Door {
	d := &Door{strangers: newStrangers()}
	d.asks.Store(&a)
	return d
}

// A shown is what came of one connection to a door. CONNECT hands it on.
type shown struct {
	door  *Door
	certs atomic.Pointer[[]*x509.Certificate]
	known atomic.Bool // a request was let in
	leave func()      // makes room for another stranger, once

	mu     sync.Mutex
	many   bool                // requests come beside each other: HTTP/2
	tokens [][sha256.Size]byte // digests of what the newest request showed, or of what all did that were let in
}

// shows keeps what a request shows, from before it is judged.
func (s *shown) shows(token [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.many {
		s.tokens = s.tokens[:0]
	}
	if !slices.Contains(s.tokens, token) {
		s.tokens = append(s.tokens, token)
	}
}

// wrong forgets what a request showed beside others, which are let in all the same.
func (s *shown) wrong(token [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.many {
		s.tokens = slices.DeleteFunc(s.tokens, func(t [sha256.Size]byte) bool { return t == token })
	}
}

// left notes that this is no stranger, or is gone.
func (s *shown) left() {
	if s != nil && s.leave != nil {
		s.leave()
	}
}

// still reports whether what was shown is enough for these asks, as far as it
// was asked for yet.
func (s *shown) still() bool {
	a := s.door.asks.Load()
	if len(a.Tokens) == 0 && a.Client == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.tokens, func(t [sha256.Size]byte) bool { return !a.knows(t) }) || len(s.tokens) == 0 && s.known.Load() && len(a.Tokens) > 0 {
		return false
	}
	c := s.certs.Load()
	return a.Client == nil || c != nil && a.Client(*c) == nil || c == nil && !s.known.Load()
}

// knows compares with every token, and takes as long for each.
func (a *Asks) knows(digest [sha256.Size]byte) bool {
	ok := 0
	for i := range a.Tokens {
		ok |= subtle.ConstantTimeCompare(a.Tokens[i][:], digest[:])
	}
	return ok == 1
}

// ServeDoor is ServeExplicit for clients that a door asks who they are.
func (g *Gate) ServeDoor(l net.Listener, d *Door) error {
	return g.accept(l, func(c net.Conn) { g.greet(c, d) })
}

// ChangeDoor replaces what a door asks. Connections that showed what is not
// enough any more are cut before it returns.
func (g *Gate) ChangeDoor(d *Door, a Asks) {
	d.asks.Store(&a)
	g.mu.Lock()
	defer g.mu.Unlock()
	for f := range g.flows {
		if s := f.route.shown; s != nil && s.door == d && !s.still() {
			sever(f.raw)
		}
	}
}

// greet takes a connection to where its requests are read.
func (g *Gate) greet(c net.Conn, d *Door) {
	s := &shown{door: d}
	f := g.newFlow(c, route{ingress: "forward", shown: s})
	from := source(c.RemoteAddr())
	if !d.strangers.enter(from) {
		f.turnAway(refuse(http.StatusTooManyRequests, "too_many_strangers", "too many connections show nothing"))
		return
	}
	s.leave = sync.OnceFunc(func() { d.strangers.leave(from) })
	cfg := d.asks.Load().TLS
	if cfg == nil {
		f.hear(c)
		return
	}
	cfg = cfg.Clone()
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		s.certs.Store(&cs.PeerCertificates) // before it is judged: a change that comes now sees it
		if a := d.asks.Load(); a.Client != nil {
			return a.Client(cs.PeerCertificates)
		}
		return nil
	}
	tc := f.sealed(c, cfg)
	f.deadline(g.srv.cfg.Patience.Handshake)
	if err := tc.HandshakeContext(g.ctx); err != nil {
		f.turnAway(unshaken(err, refuse(http.StatusBadRequest, "proxy_tls", "TLS to the proxy failed, or its client is not the one")))
		return
	}
	f.deadline(0)
	f.tls = tlsRecord(tc.ConnectionState())
	f.tls.ALPN, f.tls.Verified = "", d.asks.Load().Client != nil
	f.hear(tc)
}

// turnAway ends a connection that did not get as far as a request.
func (f *flow) turnAway(ref *Refusal) {
	f.turnedAway(ref)
	f.reset()
}

// turnedAway records, or counts, that a connection did not get as far as a request.
func (f *flow) turnedAway(ref *Refusal) {
	ev := f.event(audit.TunnelDecision)
	ev.ID = audit.NewID()
	ev.Decision = decisionRecord(nil, ref)
	ev.Decision.Action = "reset"
	f.gate.flood(ev)
}

// admit lets a request in that shows what its door asks for. It comes before
// all else, and takes off what was shown.
func (x *exchange) admit() *Refusal {
	s := x.flow.route.shown
	if s == nil || x.flow.route.ingress != "forward" { // CONNECT was let in
		return nil
	}
	token, some := proxyToken(x.r.Header)
	delete(x.r.Header, "Proxy-Authorization")
	if len(s.door.asks.Load().Tokens) > 0 && x.flow.violation(x.r) != nil { // its head could not be read, so nothing was shown
		return refusalOf(x.flow.violation(x.r)).closing()
	}
	shows := &token
	if !some {
		shows = nil
	}
	if ref := s.let(shows, source(x.flow.raw.RemoteAddr())); ref != nil {
		return ref.closing()
	}
	return nil
}

// let lets in who shows a token, or nothing, from a source.
func (s *shown) let(token *[sha256.Size]byte, from netip.Addr) *Refusal {
	a := s.door.asks.Load()
	switch {
	case len(a.Tokens) == 0 && a.Client == nil:
		return refuse(http.StatusForbidden, "proxy_auth_wrong", "nobody comes in here")
	case len(a.Tokens) == 0:
	case token == nil:
		return refuse(http.StatusProxyAuthRequired, "proxy_auth_required", "this proxy asks for the sandbox's token")
	default:
		refund, ok := func() {}, true
		if !s.known.Load() {
			refund, ok = s.door.strangers.guess(from)
		}
		if !ok {
			return refuse(http.StatusTooManyRequests, "proxy_auth_limited", "too many wrong tokens came from this address")
		}
		s.shows(*token)
		if !s.door.asks.Load().knows(*token) {
			s.wrong(*token)
			return refuse(http.StatusProxyAuthRequired, "proxy_auth_wrong", "the token is not this sandbox's")
		}
		refund()
	}
	if !s.known.Swap(true) && !s.still() { // it asks for more than when this connection came (hostile 367)
		s.known.Store(false)
		return refuse(http.StatusForbidden, "proxy_auth_wrong", "what was shown is not what is asked for now")
	}
	s.left()
	return nil
}

// proxyToken is the digest of what a request shows: the password of Basic (RFC
// 7617), whose user says nothing, or what stands behind Bearer (RFC 6750).
func proxyToken(h http.Header) (digest [sha256.Size]byte, some bool) {
	vs := h["Proxy-Authorization"]
	if len(vs) != 1 {
		return digest, false
	}
	scheme, rest, _ := strings.Cut(vs[0], " ")
	rest = strings.TrimLeft(rest, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer") && rest != "":
		return sha256.Sum256([]byte(rest)), true
	case strings.EqualFold(scheme, "Basic"):
		b, err := base64.StdEncoding.DecodeString(rest)
		_, password, ok := strings.Cut(string(b), ":")
		return sha256.Sum256([]byte(password)), err == nil && ok && password != ""
	}
	return digest, false
}

// turnAway answers one who was not let in. It is recorded once and counted: it
// costs nothing to cause, and nothing of what was asked is believed.
func (x *exchange) turnAway(ref *Refusal) {
	x.recorded = true
	ev := x.flow.event(audit.RequestDecision)
	ev.ID = audit.NewID()
	ev.Decision = decisionRecord(nil, ref)
	ev.Result = &audit.Result{Outcome: "failure", Status: ref.Status, Source: "proxy"}
	x.gate.flood(ev)
	_ = x.rc.SetReadDeadline(time.Now().Add(time.Second))
	ref.write(&parting{x.w.ResponseWriter}, x.r, "")
}

// A parting answer is the last on its connection, in HTTP/2 as well: GOAWAY follows.
type parting struct{ http.ResponseWriter }

// WriteHeader sends the head.
func (w *parting) WriteHeader(status int) {
	w.Header().Set("Connection", "close")
	w.ResponseWriter.WriteHeader(status)
}
