package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/proxy/h1"
)

// Limits of the stages of reaching an upstream.
const (
	resolveLimit = 10 * time.Second
	connectLimit = 10 * time.Second
)

// A dial is one exchange's way to its upstream, and what was seen on it.
type dial struct {
	gate    *Gate
	flow    *flow
	binding bool
	x       *exchange // nil for a tunnel

	mu     sync.Mutex
	judged []audit.Judged
	peer   netip.AddrPort
	conn   net.Conn // that the request was given
	tls    *audit.TLS
	conns  int
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
	addrs, err := s.resolve(ctx, to.Host(), d.binding)
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
	c, err := d.connect(ctx, addrs, to.Port())
	if err != nil {
		return nil, err
	}
	d.gate.failed.answered(to)
	return s.homes.leave(c), nil
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
	if len(addrs) == 0 && d.peer.IsValid() {
		addrs = append(addrs, d.peer.Addr())
	}
	d.mu.Unlock()
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

func (d *dial) connect(ctx context.Context, addrs []netip.Addr, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	var errs []error
	for i, a := range addrs {
		want := netip.AddrPortFrom(a, port)
		nd := net.Dialer{
			Timeout: connectLimit / time.Duration(min(len(addrs)-i, 3)),
			// What the kernel is asked to connect to is what was judged (hostile 12, 14).
			ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
				got, err := netip.ParseAddrPort(address)
				if err != nil || got.Addr().Unmap().WithZone("") != want.Addr() || got.Port() != port {
					return refuse(http.StatusForbidden, "address_denied", "the address to dial is not the one that was judged")
				}
				return nil
			},
		}
		c, err := nd.DialContext(ctx, "tcp", want.String())
		if err == nil {
			d.mu.Lock()
			d.peer = want
			d.mu.Unlock()
			return c, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, &dialError{errors.Join(errs...)}
}

// resolve returns the addresses of an absolute name, without zones or mapping.
func (s *Server) resolve(ctx context.Context, h dest.Host, binding bool) ([]netip.Addr, error) {
	if a, ok := h.Addr(); ok {
		return []netip.Addr{a}, nil
	}
	if !binding && dest.MetadataHost(h) {
		return nil, refuse(http.StatusForbidden, "address_denied", "metadata services are reached through a binding only")
	}
	if !binding && len(s.cfg.AllowPrivate) == 0 && dest.LocalHost(h) {
		return nil, refuse(http.StatusForbidden, "address_denied", "this name means something on a private network only").
			operator("%s is not looked up; open it with a binding, or its network with --allow-private", h)
	}
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	got, err := s.cfg.Resolver.LookupNetIP(ctx, "ip", h.String()+".")
	if err != nil {
		return nil, &resolveError{err}
	}
	out := make([]netip.Addr, 0, len(got))
	for _, a := range got {
		if a.Zone() != "" {
			return nil, refuse(http.StatusForbidden, "address_denied", "the destination's address has a zone")
		}
		out = append(out, a.Unmap())
	}
	if len(out) == 0 {
		return nil, &resolveError{fmt.Errorf("%s has no address", h)}
	}
	return out, nil
}

// handshake opens TLS to an upstream and verifies who it is.
func (d *dial) handshake(ctx context.Context, c net.Conn, cfg *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	tc := tls.Client(c, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, &tlsError{err}
	}
	return tc, nil
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
	if u, ok := c.(*upstreamConn); ok {
		u.Begin(d.x != nil && d.x.websocket)
		c = u.inner
	}
	if tc, ok := c.(*tls.Conn); ok {
		d.tls = d.gate.pools.Load().tlsOf(tc)
	}
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
	return &audit.Server{Address: d.peer, Judged: d.judged, TLS: d.tls, Binding: binding}
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

type (
	resolveError struct{ error }
	dialError    struct{ error }
	tlsError     struct{ error }
)

func (e *resolveError) Unwrap() error { return e.error }
func (e *dialError) Unwrap() error    { return e.error }
func (e *tlsError) Unwrap() error     { return e.error }

// upstreamRefusal says in our own words what went wrong on the way to an
// upstream or back.
func upstreamRefusal(err error) *Refusal {
	var (
		re *resolveError
		de *dialError
		te *tlsError
		ne net.Error
		nx *net.DNSError
		ce *tls.CertificateVerificationError
		ue x509.UnknownAuthorityError
	)
	slow := errors.As(err, &ne) && ne.Timeout()
	switch {
	case errors.As(err, &re):
		r := refuse(http.StatusBadGateway, "name_unresolved", "the destination's name could not be resolved")
		if errors.As(err, &nx) && nx.IsNotFound {
			r.Public = "the destination's name does not exist"
		}
		if slow {
			r.Status = http.StatusGatewayTimeout
		}
		return r.because(err)
	case errors.As(err, &te) && (errors.As(err, &ce) || errors.As(err, &ue)):
		return refuse(http.StatusBadGateway, "tls_verify", "the destination's certificate does not prove who it is").because(err)
	case errors.As(err, &te):
		return refuse(http.StatusBadGateway, "tls_failed", "no TLS connection to the destination could be made").because(err)
	case errors.As(err, &de) && slow:
		return refuse(http.StatusGatewayTimeout, "connect_timeout", "the destination did not accept a connection in time").because(err)
	case errors.As(err, &de):
		return refuse(http.StatusBadGateway, "connect_failed", "the destination refused the connection").because(err)
	case slow:
		return refuse(http.StatusGatewayTimeout, "upstream_timeout", "the destination did not answer in time").because(err)
	}
	return refuse(http.StatusBadGateway, "upstream_failed", "the destination's answer could not be read").because(err)
}
