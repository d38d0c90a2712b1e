package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/proxy/h1"
)

// A dial is one exchange's way to its upstream, and what was seen on it.
type dial struct {
	gate    *Gate
	flow    *flow
	ward    *ward
	binding bool
	x       *exchange // nil for a tunnel

	mu     sync.Mutex
	parent *Parent // that carries it; nil when nobody does
	named  bool    // only the parent knows the addresses
	judged []audit.Judged
	peer   netip.AddrPort
	conn   net.Conn // that the request was given
	tls    *audit.TLS
	says   *bounded     // that counts what it says; nil when nothing is counted
	up     *h1.Upstream // of the connection that was given last; nil when it is no such
	conns  int

	clear atomic.Pointer[clearConn] // that was opened for it
}

type dialKey struct{}

func withDial(ctx context.Context, d *dial) context.Context {
	return context.WithValue(ctx, dialKey{}, d)
}

func dialFrom(ctx context.Context) *dial {
	d, _ := ctx.Value(dialKey{}).(*dial)
	return d
}

// dial resolves once, judges every address, asks policy where it has a say, and
// dials an address that was judged.
func (d *dial) dial(ctx context.Context, to dest.Addr, q *policy.Question) (net.Conn, error) {
	s := d.gate.srv
	if s.homes.returned(d.flow.raw) {
		return nil, refuse(http.StatusLoopDetected, "loop_detected", "this connection came out of this sallyport").closing()
	}
	if !d.binding {
		if ref := d.gate.failed.begin(to); ref != nil {
			return nil, ref
		}
	}
	p := d.reach().parent(to)
	d.towards(to)
	var addrs []netip.Addr
	var err error
	if p.unjudged(to) {
		err = d.unknown(to)
	} else {
		addrs, err = d.judge(ctx, to, q)
	}
	if err != nil {
		return nil, err
	}
	var c net.Conn
	if p != nil {
		c, err = d.through(ctx, p, to, addrs)
	} else {
		c, err = d.connect(ctx, addrs, to)
	}
	if err != nil {
		return nil, err
	}
	d.gate.failed.answered(to)
	return c, nil
}

// reach is how upstreams are reached in the configuration that decided.
func (d *dial) reach() *Reach { return d.ward.reach }

func (d *dial) limits(to dest.Addr) Timeouts { return d.reach().timeouts(to) }

// towards notes who carries what goes to a destination.
func (d *dial) towards(to dest.Addr) {
	p := d.reach().parent(to)
	d.mu.Lock()
	d.parent, d.named = p, p.unjudged(to)
	d.mu.Unlock()
}

// unknown says of a destination whose addresses only a parent will know whether its
// name may be asked for (hostile 104). A policy that asks about addresses gets none.
func (d *dial) unknown(to dest.Addr) error {
	if ref := d.gate.srv.meansNothing(to.Host(), d.binding); ref != nil {
		return ref
	}
	if d.gate.ward.Load().policy.Has(policy.Dial) {
		return unknownAddress()
	}
	return nil
}

func unknownAddress() *Refusal {
	return refuse(http.StatusForbidden, "address_denied", "the destination's address is not known, and the policy asks for it").
		operator("the parent proxy looks the name up: give it resolve: local, or no parent")
}

// judge resolves a destination, judges every address and asks policy where it has a
// say.
func (d *dial) judge(ctx context.Context, to dest.Addr, q *policy.Question) ([]netip.Addr, error) {
	s := d.gate.srv
	addrs, err := s.resolve(ctx, d.reach(), to.Host(), d.binding)
	if err != nil {
		return nil, err
	}
	var bad *audit.Judged
	judged := make([]audit.Judged, 0, len(addrs))
	for _, a := range addrs {
		j, err := s.judge(a, d.binding)
		if err != nil {
			return nil, err
		}
		judged = append(judged, j)
		if !j.OK && bad == nil {
			bad = &judged[len(judged)-1]
		}
	}
	d.mu.Lock()
	d.judged = judged
	d.mu.Unlock()
	if bad != nil { // one that is not public condemns the whole answer (hostile 13)
		return nil, refuse(http.StatusForbidden, "address_denied", "the destination's address is not one that sandboxes may reach").
			operator("%s is %s; open it with a binding or --allow-private", bad.Address, bad.Class)
	}
	if now := d.gate.ward.Load(); now.policy.Has(policy.Dial) { // the newest: what is dialled is dialled now
		ask := *q
		ask.Phase, ask.Addresses, ask.Sandbox = policy.Dial, addrs, now.sb
		if dec := now.policy.Decide(ctx, &ask); dec.Err != nil || len(dec.Deny) > 0 {
			ref := refusalOfDecision(&policy.Decision{Deny: dec.Deny, Err: dec.Err})
			return nil, ref
		}
	}
	for _, a := range addrs {
		if ref := s.homes.refuses(netip.AddrPortFrom(a, to.Port())); ref != nil {
			return nil, ref
		}
	}
	return addrs, nil
}

// judge says what kind of address it is and whether it is dialled. What is this
// machine's is as private as what is private: it is reached by a binding, or by a
// prefix that was opened (hostile 103).
func (s *Server) judge(a netip.Addr, binding bool) (audit.Judged, error) {
	if a.IsUnspecified() { // the kernel takes it for the loopback, where nobody was asked about
		return audit.Judged{}, refuse(http.StatusForbidden, "address_denied", "the destination's address is not one that sandboxes may reach").operator("%s is no address to send to; neither a binding nor a prefix opens it", a)
	}
	v := dest.Judge(a, s.cfg.AllowPrivate)
	if v.OK && !binding {
		reached := a
		if v.Embedded.IsValid() {
			reached = v.Embedded
		}
		own, err := s.cfg.Own(reached)
		if err != nil {
			return audit.Judged{}, refuse(http.StatusForbidden, "address_denied", "the destination's address is not one that sandboxes may reach").because(fmt.Errorf("is %s this machine's own: %w", reached, err))
		}
		if own && !slices.ContainsFunc(s.cfg.AllowPrivate, func(p netip.Prefix) bool { return p.Contains(reached) }) {
			v.Class, v.OK = dest.Own, false
		}
	}
	return audit.Judged{Address: a, Class: string(v.Class), OK: v.OK || binding}, nil
}

// again reports whether the addresses that were reached would be refused in
// another ward.
func (d *dial) again(ctx context.Context, w *ward, q *policy.Question) *Refusal {
	if d == nil || !w.policy.Has(policy.Dial) {
		return nil
	}
	d.mu.Lock()
	var addrs []netip.Addr
	for _, j := range d.judged {
		addrs = append(addrs, j.Address)
	}
	unknown := d.parent != nil && d.peer.IsValid() && len(addrs) == 0
	if len(addrs) == 0 && d.peer.IsValid() {
		addrs = append(addrs, d.peer.Addr())
	}
	d.mu.Unlock()
	if unknown {
		return unknownAddress()
	}
	if len(addrs) == 0 { // it is not dialled yet, and will be asked about
		return nil
	}
	ask := *q
	ask.Phase, ask.Addresses, ask.Sandbox = policy.Dial, addrs, w.sb
	if dec := w.policy.Decide(ctx, &ask); dec.Err != nil || len(dec.Deny) > 0 {
		return refusalOfDecision(&policy.Decision{Deny: dec.Deny, Err: dec.Err})
	}
	return nil
}

// connect dials addresses that were judged.
func (d *dial) connect(ctx context.Context, addrs []netip.Addr, to dest.Addr) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limits(to).Connect)
	defer cancel()
	c, at, err := race(ctx, addrs, to.Port())
	if err == nil {
		d.mu.Lock()
		d.peer = at
		d.mu.Unlock()
		return d.gate.srv.homes.leave(c), nil
	}
	var ref *Refusal
	switch {
	case errors.As(err, &ref):
		return nil, ref
	case late(ctx, err):
		return nil, refuse(http.StatusGatewayTimeout, "connect_timeout", "the destination did not accept a connection in time").because(err)
	}
	return nil, refuse(http.StatusBadGateway, "connect_failed", "the destination refused the connection").because(err)
}

// meansNothing refuses names that mean something in one place only.
func (s *Server) meansNothing(h dest.Host, binding bool) *Refusal {
	if !binding && dest.MetadataHost(h) {
		return refuse(http.StatusForbidden, "address_denied", "metadata services are reached through a binding only")
	}
	if !binding && len(s.cfg.AllowPrivate) == 0 && dest.LocalHost(h) {
		return refuse(http.StatusForbidden, "address_denied", "this name means something on a private network only").
			operator("%s is not looked up; open it with a binding, or its network with --allow-private", h)
	}
	return nil
}

// resolve returns the addresses of an absolute name, without zones or mapping.
func (s *Server) resolve(ctx context.Context, r *Reach, h dest.Host, binding bool) ([]netip.Addr, error) {
	if a, ok := h.Addr(); ok {
		return []netip.Addr{a}, nil
	}
	if ref := s.meansNothing(h, binding); ref != nil {
		return nil, ref
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeouts.or(DefaultTimeouts).Resolve)
	defer cancel()
	asked := s.cfg.Resolver
	if r.Resolver != nil {
		asked = r.Resolver
	}
	got, err := asked.LookupNetIP(ctx, "ip", h.String()+".")
	if err != nil {
		return nil, nameRefusal(ctx, err)
	}
	out := make([]netip.Addr, 0, len(got))
	for _, a := range got {
		if a.Zone() != "" {
			return nil, refuse(http.StatusForbidden, "address_denied", "the destination's address has a zone")
		}
		out = append(out, a.Unmap())
	}
	if len(out) == 0 {
		return nil, nameRefusal(ctx, fmt.Errorf("%s has no address", h))
	}
	return out, nil
}

// nameRefusal says in our own words why there is no address.
func nameRefusal(ctx context.Context, err error) error {
	var nx *net.DNSError
	if errors.As(err, &nx) && nx.IsNotFound {
		return refuse(http.StatusBadGateway, "name_unresolved", "the destination's name does not exist").because(err)
	}
	if late(ctx, err) {
		return refuse(http.StatusGatewayTimeout, "resolve_timeout", "the destination's name was not resolved in time").because(err)
	}
	return refuse(http.StatusBadGateway, "name_unresolved", "the destination's name could not be resolved").because(err)
}

// gotConn learns which connection a request was given.
func (d *dial) gotConn(info httptrace.GotConnInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns++
	d.conn = info.Conn
	if a, ok := info.Conn.RemoteAddr().(*net.TCPAddr); ok {
		d.peer = addrPort(a)
	}
	c := info.Conn
	d.up = nil
	if u, ok := c.(*upstreamConn); ok {
		u.Begin(d.x != nil && d.x.websocket)
		d.up, c = u.Upstream, u.inner
	}
	if d.says = chattering(c); d.says != nil && d.up == nil {
		d.says.answered(chatterHead)
	}
	if tc, ok := c.(*tls.Conn); ok {
		d.tls = d.ward.pools.tlsOf(tc)
	}
}

// heard makes room for more of an answer.
func (d *dial) heard(n int) {
	d.mu.Lock()
	says := d.says
	d.mu.Unlock()
	if says != nil {
		says.answered(chatterFactor * int64(n))
	}
}

// trailing reports whether an answer is whole but for its trailer.
func (d *dial) trailing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.up != nil && d.up.Trailing()
}

func tlsRecord(cs tls.ConnectionState) *audit.TLS {
	t := &audit.TLS{Version: tls.VersionName(cs.Version), Cipher: tls.CipherSuiteName(cs.CipherSuite), ALPN: cs.NegotiatedProtocol,
		SNI: cs.ServerName, Verified: len(cs.VerifiedChains) > 0, Resumed: cs.DidResume}
	if len(cs.PeerCertificates) > 0 {
		sum := sha256.Sum256(cs.PeerCertificates[0].Raw)
		t.LeafSHA256 = hex.EncodeToString(sum[:])
		t.Issuer = cs.PeerCertificates[0].Issuer.String()
	}
	return t
}

// server is what a record says of the upstream.
func (d *dial) server(binding string) *audit.Server {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &audit.Server{Address: d.peer, Judged: d.judged, TLS: d.tls, Binding: binding, Parent: d.parent.String(), Unjudged: d.named}
}

func (d *dial) resends() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(d.conns-1, 0)
}

// An upstreamConn is an HTTP/1 connection to an upstream, read strictly.
type upstreamConn struct {
	*h1.Upstream
	inner net.Conn
}

// upstreamRefusal says in our own words what went wrong on the way back from an
// upstream.
func upstreamRefusal(err error) *Refusal {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return refuse(http.StatusGatewayTimeout, "upstream_timeout", "the destination did not answer in time").because(err)
	}
	return refuse(http.StatusBadGateway, "upstream_failed", "the destination's answer could not be read").because(err)
}
