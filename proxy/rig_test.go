package proxy_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/credentials"
	"sallyport/credentials/env"
	"sallyport/dest"
	"sallyport/origin"
	"sallyport/policy/rego"
	"sallyport/proxy"
	"sallyport/proxy/leaf"
	"sallyport/sandbox"
)

const secret = "canary-T0k3n/0123456789+abcdef"

// A rig is a proxy of real parts, with an explicit listener on loopback.
type rig struct {
	t      testing.TB
	srv    *proxy.Server
	log    string
	addr   string // of the explicit proxy
	roots  *x509.CertPool
	asked  *asked
	audit  *audit.Log
	origin *origin.Origin

	decider proxy.Decider
	gate    *proxy.Gate      // opened last
	sandbox *sandbox.Sandbox // of it
}

// A rigging changes what a rig is made of.
type rigging struct {
	requests int   // under way at most; 0 means the default
	conns    int   // open at most; 0 means the default
	inspect  int64 // bytes; 0 means the default
	own      func(netip.Addr) (bool, error)
	origin   origin.Options
	policy   string                  // Rego; "" allows everything and asks for the credential
	addrs    map[string][]netip.Addr // of names; others are at 127.0.0.1
	private  []netip.Prefix          // nil means loopback
	audit    audit.Options
	port     int                   // that the credential is bound to; 0 means the origin's
	bindings []credentials.Binding // more of them, at the origin's port
	secrets  int                   // bound to the same host beside it
	place    credentials.Place     // of the credential; the zero place is bearer
	decide   func(proxy.Decider) proxy.Decider
	more     func(*proxy.Config)
}

// An asked resolver knows what it was asked.
type asked struct {
	mu    sync.Mutex
	names []string
	addrs map[string][]netip.Addr
}

func (a *asked) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.names = append(a.names, host)
	if got, ok := a.addrs[host]; ok {
		return got, nil
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// Exchange says that there is nothing.
func (a *asked) Exchange(_ context.Context, name string, _ uint16) ([]byte, error) {
	return nil, errors.New("nothing is known of " + name)
}

const allowAll = `package egress

allow if true

credentials contains "api" if input.destination.scheme == "https"
`

func newRig(t testing.TB, r rigging) *rig {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	g, err := origin.Start(r.origin)
	must(err)
	t.Cleanup(g.Close)
	dir := t.TempDir()
	pol := filepath.Join(dir, "policy")
	must(os.Mkdir(pol, 0o755))
	if r.policy == "" {
		r.policy = allowAll
	}
	must(os.WriteFile(filepath.Join(pol, "p.rego"), []byte(r.policy), 0o644))
	p, err := rego.Load(t.Context(), rego.Options{Name: "test", Dir: pol})
	must(err)
	t.Setenv("PROXY_TEST_TOKEN", secret)
	src, err := env.New("PROXY_TEST_TOKEN")
	must(err)
	if r.port == 0 {
		r.port = g.TLSPort
	}
	if r.place.Kind == "" {
		r.place.Kind = credentials.Bearer
	}
	host, err := dest.ParseHost("api.example.com")
	must(err)
	bound := []credentials.Binding{{Name: "api", Bind: credentials.Bind{Host: host, Port: uint16(r.port), Scheme: "https"}, Place: r.place, Source: src}}
	for i := range r.secrets {
		name := fmt.Sprint("PROXY_TEST_TOKEN_", i)
		t.Setenv(name, fmt.Sprintf("%s-%x", name, sha256.Sum256([]byte(name))))
		more, err := env.New(name)
		must(err)
		bound = append(bound, credentials.Binding{Name: fmt.Sprint("more-", i), Bind: bound[0].Bind, Place: credentials.Place{Kind: credentials.Header, Name: fmt.Sprint("X-", i)}, Source: more})
	}
	for _, b := range r.bindings {
		b.Port, b.Scheme = uint16(g.TLSPort), "https"
		bound = append(bound, b)
	}
	store, err := credentials.New(t.Context(), bound)
	must(err)
	out := &rig{t: t, log: filepath.Join(dir, "log"), asked: &asked{addrs: r.addrs}, origin: g, roots: x509.NewCertPool()}
	r.audit.Filter = store.Redact
	out.audit, err = audit.Open(out.log, r.audit)
	must(err)
	t.Cleanup(func() { _ = out.audit.Close() })
	issuer, err := leaf.New(leaf.Options{CommonName: "test"})
	must(err)
	out.roots.AppendCertsFromPEM(issuer.CAPEM())
	upstream := x509.NewCertPool()
	upstream.AppendCertsFromPEM(g.CAPEM())
	if r.private == nil {
		r.private = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	var decider proxy.Decider = p
	if r.decide != nil {
		decider = r.decide(p)
	}
	out.decider = decider
	cfg := proxy.Config{Audit: out.audit, Credentials: store, Issuer: issuer, Resolver: out.asked, Exchanger: out.asked, AllowPrivate: r.private, UpstreamRoots: upstream, MaxRequests: r.requests, MaxConns: r.conns, MaxInspected: r.inspect, Own: r.own}
	if r.more != nil {
		r.more(&cfg)
	}
	out.srv, err = proxy.New(cfg)
	must(err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = out.srv.Shutdown(ctx)
	})
	out.addr = out.open("test")
	return out
}

// open makes another sandbox and returns where its explicit proxy listens.
func (r *rig) open(name string) string {
	r.t.Helper()
	r.sandbox = &sandbox.Sandbox{ID: sandbox.NewID(), Name: name, Mode: sandbox.Enforce, Policy: []string{"test"}}
	g := r.srv.Open(r.sandbox, r.decider, nil)
	r.gate = g
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	go func() { _ = g.ServeExplicit(l) }()
	return l.Addr().String()
}

// at is the authority of a host at the origin's TLS port.
func (r *rig) at(host string) string { return fmt.Sprintf("%s:%d", host, r.origin.TLSPort) }

// dial opens a connection to the proxy.
func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// connect opens a connection through the proxy, up to the answer to CONNECT.
func (r *rig) connect(authority string) net.Conn {
	r.t.Helper()
	c := r.dial()
	fmt.Fprintf(c, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", authority)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusOK || br.Buffered() != 0 {
		r.t.Fatalf("CONNECT %s: %v %v", authority, resp, err)
	}
	return c
}

// tls opens TLS to a host through the proxy.
func (r *rig) tls(host string, cfg *tls.Config) (*tls.Conn, error) {
	r.t.Helper()
	cfg.RootCAs = r.roots
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	c := tls.Client(r.connect(r.at(host)), cfg)
	return c, c.Handshake()
}

// found returns the records with these fields, waiting for at least one.
func (r *rig) found(fields map[string]string) (out []audit.Entry) {
	r.t.Helper()
	for range 100 {
		out = nil
		err := audit.Tail(r.t.Context(), r.log, audit.TailOptions{}, func(e audit.Entry) error {
			for k, v := range fields {
				got := e.Str(k)
				if n, ok := e.Fields[k].(json.Number); ok {
					got = n.String()
				}
				if got != v {
					return nil
				}
			}
			out = append(out, e)
			return nil
		})
		if err == nil && len(out) > 0 {
			return out
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}
