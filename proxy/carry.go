package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/proxy/leaf"
	"sallyport/proxy/sniff"
)

// carry takes one connection from its first byte to the server that reads its
// requests, or to a tunnel. Transparent connections and those that CONNECT
// opened meet here.
func (g *Gate) carry(c net.Conn, r route) {
	f := g.newFlow(c, r)
	defer f.recovered()
	if ref := f.identify(); ref != nil {
		f.refuseOpaque(ref, nil, "")
		return
	}
	w := g.ward.Load()
	if ref := f.early(w); ref != nil {
		f.refuseOpaque(ref, nil, "socks")
		return
	}
	stopped := w.stopped() // is said in HTTP where that is spoken
	// Whoever speaks first may be the server: an opaque grant comes before the sniff.
	if stopped == nil && w.policy.Has(policy.Connect) {
		f.asked = w
		q := f.question(w, "tcp", f.name)
		if d := w.policy.Decide(g.ctx, q); d.Granted() && d.Opaque {
			f.tunnel(w, q, d, c)
			return
		}
	}
	if _, err := f.answer(nil); err != nil {
		f.end()
		return
	}
	kind, hello, conn, err := sniff.Conn(c, f.patience(), 64<<10)
	switch {
	case err == nil && stopped != nil && kind != sniff.HTTP1 && kind != sniff.H2Preface && kind != sniff.TLS:
		f.refuseOpaque(stopped, nil, "tcp")
	case err != nil:
		f.refuseOpaque(refuse(400, "unreadable", "the first bytes of the connection could not be read").because(err), nil, "tcp")
	case kind == sniff.HTTP1:
		g.srv.in.push(f.strict(conn))
	case kind == sniff.TLS:
		f.intercept(conn, hello)
	case kind == sniff.Silent:
		f.refuseOpaque(refuse(403, "silent", "the client sent nothing, and nothing grants an opaque connection here"), nil, "tcp")
	case kind == sniff.H2Preface:
		f.clear = true
		g.srv.inFrames.push(&flowConn{f.framed(conn, 0), f})
	default:
		f.refuseOpaque(refuse(403, "unknown_protocol", "neither HTTP nor TLS, and nothing grants an opaque connection here"), nil, "tcp")
	}
}

// patience is how long the client may be silent. Where the server speaks first
// nobody grants what it would say, so there is nothing to wait for (hostile 340).
func (f *flow) patience() time.Duration {
	d := f.gate.srv.cfg.SniffTimeout
	if sniff.ServerFirst(f.port) {
		d = min(d, sniff.ServerFirstTimeout)
	}
	return d
}

// recovered makes of a bug on the way to a decision a refusal with a record.
func (f *flow) recovered() {
	p := recover()
	if p == nil {
		return
	}
	f.gate.srv.cfg.Log.Error().Str("panic", fmt.Sprint(p)).Bytes("stack", debug.Stack()).Msg("connection")
	f.refuseOpaque(refuse(500, "internal", "sallyport failed on this connection").because(fmt.Errorf("panic: %v", p)), nil, "tcp")
}

// identify finds out by what name the destination was meant.
func (f *flow) identify() *Refusal {
	if s := f.route.shown; s != nil && !s.still() { // the door changed between CONNECT and here
		return refuse(403, "proxy_auth_wrong", "what was shown is not asked for any more")
	}
	if !f.route.connect.Host().IsZero() {
		f.name, f.port = f.route.connect.Host(), f.route.connect.Port()
		return nil
	}
	f.port = f.route.dst.Port()
	if f.gate.names == nil {
		return nil
	}
	name, known, synthetic := f.gate.names.Lookup(f.route.dst.Addr())
	switch {
	case known:
		f.name = name
	case synthetic:
		return refuse(403, "address_unknown", "this address was never given out for a name")
	}
	return nil
}

// where is the destination as far as the connection itself says it.
func (f *flow) where(name dest.Host) dest.Addr {
	if name.IsZero() {
		name = dest.HostFromAddr(f.route.dst.Addr())
	}
	return dest.NewAddr(name, f.port)
}

func (f *flow) question(w *ward, protocol string, name dest.Host) *policy.Question {
	q := &policy.Question{Phase: policy.Connect, Sandbox: w.sb, Destination: policy.Destination{Addr: f.where(name), Protocol: protocol}}
	if !f.sni.IsZero() {
		q.Destination.SNI = f.sni.String()
	}
	if !f.route.connect.Host().IsZero() {
		q.Destination.Connect = f.route.connect.String()
	}
	return q
}

// intercept opens TLS with a leaf of our own, unless policy lets it pass unopened.
func (f *flow) intercept(c net.Conn, hello *sniff.Hello) {
	g := f.gate
	f.https, f.sni = true, hello.ServerName
	f.tls = &audit.TLS{SNI: f.sni.String()}
	if hello.NameErr != nil {
		f.refuseOpaque(refuse(400, "sni_invalid", "the server name of the TLS handshake is not a host name").because(hello.NameErr), nil, "tls")
		return
	}
	f.checkNames()
	if w := g.ward.Load(); f.mismatch == nil && w.stopped() == nil && w.policy.Has(policy.Connect) {
		f.asked = w
		q := f.question(w, "tls", f.tlsName())
		d := w.policy.Decide(g.ctx, q)
		switch {
		case d.Granted() && hello.ECH && f.outerName():
			f.refuseOpaque(refuse(403, "ech", "an encrypted server name cannot be passed through"), d, "tls")
			return
		case d.Granted():
			f.tunnel(w, q, d, c)
			return
		}
	}
	host := f.tlsName()
	if host.IsZero() {
		f.refuseOpaque(refuse(403, "no_server_name", "TLS to an address without a server name is opaque, and nothing grants that here"), nil, "tls")
		return
	}
	cert, err := g.srv.cfg.Issuer.LeafWithin(g.ctx, host, g.budget)
	switch {
	case errors.Is(err, leaf.ErrBudget):
		f.refuseOpaque(refuse(429, "too_many_names", "this sandbox asks for certificates too quickly").because(err), nil, "tls")
		return
	case err != nil:
		f.refuseOpaque(refuse(502, "leaf", "no certificate could be made for this name").because(err), nil, "tls")
		return
	}
	tc := f.sealed(c, g.tls.forLeaf(cert))
	f.deadline(g.srv.cfg.Patience.Handshake)
	if err := tc.HandshakeContext(g.ctx); err != nil {
		f.refuseOpaque(unshaken(err, refuse(400, "tls_handshake", "the TLS handshake failed; is sallyport's CA trusted by this client?")), nil, "tls")
		return
	}
	f.deadline(0)
	cs := tc.ConnectionState()
	f.tls = &audit.TLS{Version: tls.VersionName(cs.Version), Cipher: tls.CipherSuiteName(cs.CipherSuite), ALPN: cs.NegotiatedProtocol,
		SNI: f.sni.String(), Intercepted: true, Resumed: cs.DidResume}
	if cs.NegotiatedProtocol == "h2" {
		g.srv.inFrames.push(&flowConn{f.framed(tc, 0), f})
		return
	}
	g.srv.in.push(f.strict(tc))
}

// tlsName is the name inside TLS, or the one that was handed out when TLS says none.
func (f *flow) tlsName() dest.Host {
	if !f.sni.IsZero() {
		return f.sni
	}
	return f.name
}

// outerName reports whether the server name may be only the outside of an
// encrypted one: it is not the name that was looked up. Browsers send the
// extension without meaning it, so its presence alone says nothing.
func (f *flow) outerName() bool { return f.name.IsZero() || f.sni != f.name }

// checkNames compares what was handed out, or given to CONNECT, with what TLS says.
func (f *flow) checkNames() {
	if f.name.IsZero() || f.sni.IsZero() || f.name == f.sni {
		return
	}
	f.mismatch = misdirected("the connection was made for %s and TLS asks for %s", f.name, f.sni)
}

func misdirected(format string, a, b any) *Refusal {
	return refuse(421, "authority_mismatch", "the layers of this request disagree on where it goes").operator(format, a, b).closing()
}

// refuseOpaque ends a connection that carried no request, with a record.
func (f *flow) refuseOpaque(ref *Refusal, d *policy.Decision, protocol string) {
	f.refusedOpaque(ref, d, protocol)
	f.over(ref)
}

// refusedOpaque records that a connection carried no request.
func (f *flow) refusedOpaque(ref *Refusal, d *policy.Decision, protocol string) {
	ev := f.event(audit.TunnelDecision)
	if d != nil && f.asked != nil {
		ev = f.asked.of(ev)
	}
	ev.Server = &audit.Server{}
	ev.Request = f.opaqueRequest(protocol)
	ev.Decision = decisionRecord(d, ref)
	ev.Decision.Action = "reset"
	if ev.Decision.Phase == "" {
		ev.Decision.Phase = string(policy.Connect)
	}
	f.gate.flood(ev)
}

// opaqueRequest is the destination of a connection without a request.
func (f *flow) opaqueRequest(protocol string) *audit.Request {
	a := f.where(f.tlsName())
	r := &audit.Request{Host: a.Host().String(), Port: a.Port(), Protocol: protocol, Size: -1, SNI: f.sni.String()}
	if !f.route.connect.Host().IsZero() {
		r.Connect = f.route.connect.String()
	}
	return r
}

// refuseConn ends a connection for which there is no flow.
func (g *Gate) refuseConn(c net.Conn, dst netip.AddrPort, ref *Refusal) {
	ev := g.event(audit.TunnelDecision)
	ev.Connection = audit.Connection{ID: audit.NewID(), Ingress: "transparent", Client: addrPort(c.RemoteAddr()), Original: dst}
	ev.Decision = decisionRecord(nil, ref)
	ev.Decision.Action = "reset"
	g.flood(ev)
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
