package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"sallyport/dest"
	"sallyport/proxy"
	"sallyport/sandbox"
)

// A ca issues certificates for tests.
type ca struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newCA(t testing.TB, name string) *ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, _ = x509.ParseCertificate(der)
	return &ca{t, c, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

func (c *ca) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.cert)
	return p
}

// issue makes a certificate of a name, for servers and clients.
func (c *ca) issue(names ...string) *tls.Certificate {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, c.cert, key.Public(), c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A mutual server asks who connects, and remembers.
type mutual struct {
	port int
	mu   sync.Mutex
	who  []string
}

// newMutual serves a name; by need, only to those who show a certificate of clients.
func newMutual(t *testing.T, cert *tls.Certificate, clients *ca, need tls.ClientAuthType) *mutual {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mutual{port: l.Addr().(*net.TCPAddr).Port}
	srv := &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: need, ClientCAs: clients.pool()}, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if pc := r.TLS.PeerCertificates; len(pc) > 0 {
			who = pc[0].Subject.CommonName
		}
		m.mu.Lock()
		m.who = append(m.who, who)
		m.mu.Unlock()
		_, _ = io.WriteString(w, who)
	})}
	go func() { _ = srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = srv.Close() })
	return m
}

func pattern(t testing.TB, s string) dest.Pattern {
	t.Helper()
	p, err := dest.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func settings(t testing.TB, ca, name string, client *tls.Certificate) *sandbox.TLS {
	t.Helper()
	var h dest.Host
	if name != "" {
		var err error
		if h, err = dest.ParseHost(name); err != nil {
			t.Fatal(err)
		}
	}
	s, err := sandbox.NewTLS(ca, h, client)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A guided decider has a reach of its own, as one of a configuration has.
type guided struct {
	proxy.Decider
	reach *proxy.Reach
}

func (g guided) Reach() *proxy.Reach { return g.reach }

// tell asks for https://HOST:PORT/ over TLS that the proxy opens.
func (r *rig) tell(host string, port int) (status int, body string) {
	r.t.Helper()
	c := tls.Client(r.connect(fmt.Sprintf("%s:%d", host, port)), &tls.Config{RootCAs: r.roots, ServerName: host})
	tr := &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Get(fmt.Sprintf("https://%s:%d/", host, port))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// hostile 48: an upstream that asks who connects is told what is said of it, and
// nothing of others: not by a connection that was opened for something else, and not
// by what a reload replaced.
func TestClientCertificates(t *testing.T) {
	servers, clients := newCA(t, "servers"), newCA(t, "clients")
	one, two, bound := clients.issue("one"), clients.issue("two"), clients.issue("bound")
	m := newMutual(t, servers.issue("one.example.com", "two.example.com", "other.example.com", "x.old.example.com"), clients, tls.RequestClientCert)
	strict := newMutual(t, servers.issue("strict.example.com"), clients, tls.RequireAndVerifyClientCert)
	reach := &proxy.Reach{Destinations: []proxy.Destination{
		{Match: pattern(t, "one.example.com"), Roots: servers.pool(), TLS: settings(t, "", "", one)},
		{Match: pattern(t, "two.example.com"), TLS: settings(t, servers.pem, "", two)},
		{Match: pattern(t, "*.old.example.com"), Roots: servers.pool(), MinTLS: tls.VersionTLS13},
		{Match: pattern(t, "strict.example.com"), Roots: servers.pool()},
		{Match: pattern(t, "other.example.com"), Roots: servers.pool(), TLS: settings(t, "", "", newCA(t, "foreign").issue("foreign"))},
	}}
	r := newRig(t, rigging{policy: everything, more: func(c *proxy.Config) { c.Reach = reach }})
	for range 2 { // on connections that are used again
		for host, want := range map[string]string{"one.example.com": "one", "two.example.com": "two", "x.old.example.com": "nobody", "other.example.com": "nobody"} {
			if status, who := r.tell(host, m.port); status != 200 || who != want {
				t.Errorf("%s: %d %s, and not %s", host, status, who, want)
			}
		}
	}
	if status, body := r.tell("strict.example.com", strict.port); status != http.StatusBadGateway || len(strict.who) != 0 {
		t.Errorf("%d %s", status, body)
	}
	if status, body := r.tell("www.example.com", m.port); status != http.StatusBadGateway { // nothing is said of it: its CA is not trusted
		t.Errorf("%d %s", status, body)
	}
	if e := r.found(map[string]string{"url.domain": "one.example.com", "event.name": "egress.request.complete"}); len(e) == 0 || len(e[0].Str("upstream.tls.client_sha256")) != 64 {
		t.Errorf("the certificate that was shown is not recorded: %v", e)
	}
	if e := r.found(map[string]string{"url.domain": "other.example.com", "event.name": "egress.request.complete"}); len(e) == 0 || e[0].Str("upstream.tls.client_sha256") != "" {
		t.Errorf("one that was not shown is: %v", e)
	}
	// A binding to the same server says who asks itself; one that says nothing leaves it
	// to what is said of the destination.
	box := *r.sandbox
	target := dest.NewAddr(reach.Destinations[0].Match.Host(), uint16(m.port))
	for name, s := range map[string]*sandbox.TLS{"a.internal": settings(t, servers.pem, "", bound), "b.internal": nil} {
		box.Bindings = append(box.Bindings, sandbox.Binding{Host: pattern(t, name).Host(), Target: target, TargetScheme: "https", TLS: s})
	}
	r.gate.Update(&box, r.decider)
	for name, want := range map[string]string{"a.internal": "bound", "b.internal": "one"} {
		if status, who := r.tell(name, 443); status != 200 || who != want {
			t.Errorf("%s: %d %s, and not %s", name, status, who, want)
		}
	}
	// A reload swaps who asks with the policy, also on connections that are idle.
	now := &proxy.Reach{Destinations: []proxy.Destination{{Match: pattern(t, "one.example.com"), Roots: servers.pool(), TLS: settings(t, "", "", two)}}}
	r.gate.Update(&box, guided{r.decider, now})
	if _, who := r.tell("one.example.com", m.port); who != "two" {
		t.Errorf("after a reload it is %s", who)
	}
	if status, _ := r.tell("two.example.com", m.port); status != http.StatusBadGateway {
		t.Errorf("%d from one of which nothing is said any more", status)
	}
}

// An old TLS is not spoken with a destination that is held to a newer one.
func TestMinTLS(t *testing.T) {
	servers := newCA(t, "servers")
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*servers.issue("a.example.com", "b.example.com")}, MaxVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hi") })}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	r := newRig(t, rigging{policy: everything, more: func(c *proxy.Config) {
		c.UpstreamRoots = servers.pool()
		c.Reach = &proxy.Reach{Destinations: []proxy.Destination{{Match: pattern(t, "a.example.com"), MinTLS: tls.VersionTLS13}}}
	}})
	if status, body := r.tell("a.example.com", port); status != http.StatusBadGateway {
		t.Errorf("%d %s", status, body)
	}
	if status, body := r.tell("b.example.com", port); status != 200 || body != "hi" {
		t.Errorf("%d %s", status, body)
	}
}
