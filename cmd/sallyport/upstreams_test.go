package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/origin"
)

// nameServer knows every name below example.com, at 127.0.0.1, and counts.
func nameServer(t *testing.T) (url string, asked func() int) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	n := 0
	s := &mdns.Server{PacketConn: c, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		mu.Lock()
		n++
		mu.Unlock()
		r := new(mdns.Msg)
		r.SetReply(q)
		if q.Question[0].Qtype == mdns.TypeA && strings.HasSuffix(q.Question[0].Name, ".example.com.") {
			r.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 60}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(r)
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
	return "udp://" + c.LocalAddr().String(), func() int { mu.Lock(); defer mu.Unlock(); return n }
}

// parentProxy carries CONNECT for who shows a login, and tells what it was asked.
func parentProxy(t *testing.T, login string) (addr string, asked func() []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var mu sync.Mutex
	var all []string
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				req, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				if req.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(login)) {
					_, _ = io.WriteString(c, "HTTP/1.1 407 No\r\n\r\n")
					return
				}
				mu.Lock()
				all = append(all, req.RequestURI)
				mu.Unlock()
				_, port, _ := net.SplitHostPort(req.RequestURI)
				up, err := net.Dial("tcp", "127.0.0.1:"+port)
				if err != nil {
					return
				}
				defer up.Close()
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				go func() { _, _ = io.Copy(up, c); _ = up.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(c, up)
			}()
		}
	}()
	return l.Addr().String(), func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(all) }
}

// knows serves a name to those who show a certificate, and says whose it is. It writes
// ca.pem, and cert and key of two clients, which the caller may read.
func knows(t *testing.T, p *place, name string) (port int) {
	t.Helper()
	sign := func(c *x509.Certificate, by *x509.Certificate, with *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if with == nil {
			with = key
		}
		c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), with)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	write := func(file, kind string, der []byte) {
		if err := os.WriteFile(filepath.Join(filepath.Dir(p.dir), file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, rootKey := sign(root, root, nil)
	write("ca.pem", "CERTIFICATE", der)
	pool := x509.NewCertPool()
	parsed, _ := x509.ParseCertificate(der)
	pool.AddCert(parsed)
	for _, who := range []string{"one", "two"} {
		der, key := sign(&x509.Certificate{Subject: pkix.Name{CommonName: who}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, parsed, rootKey)
		write(who+".pem", "CERTIFICATE", der)
		pkcs, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(who+".key", "PRIVATE KEY", pkcs)
	}
	cert, key := sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, parsed, rootKey)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "you are "+r.TLS.PeerCertificates[0].Subject.CommonName)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// What a configuration says of upstreams is so from inside a sandbox, is told, and is
// replaced by a reload without a restart.
func TestReachingUpstreams(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		server, asked := nameServer(t)
		proxyAt, carried := parentProxy(t, "me:pass word")
		if err := os.WriteFile(filepath.Join(filepath.Dir(p.dir), "login"), []byte("me:pass word\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		mutual := knows(t, p, "mutual.example.com")
		s := p.sidecar(t, "")
		s.anew(t, replace("network:\n", fmt.Sprintf(`network:
  resolvers: [{url: %q}, "udp://127.0.0.1:1"]
  destinations:
    - {match: mutual.example.com, extra_ca: ca.pem, client_cert: one.pem, client_key: one.key, min_tls: "1.3", timeouts: {connect: 5s}}
  parents:
    - {match: far.example.com, proxy: "http://%s", login: "file:login", resolve: parent}
    - {match: "*.near.example.com", proxy: "http://%[2]s", login: "file:login"}
  no_proxy: [x.near.example.com]
  timeouts: {response: 2m}
`, server, proxyAt)))
		ask := func(url string) string { return s.enrolled(nil, "curl -sS -m 30 "+url).stdout }
		if out := ask(p.http("looked-up.example.com", "/")); out == "" || strings.Contains(out, "sallyport: ") || asked() == 0 {
			t.Errorf("own name servers: %q, asked %d times", out, asked())
		}
		if out := ask(fmt.Sprintf("https://mutual.example.com:%d/", mutual)); out != "you are one" {
			t.Errorf("a certificate of who asks: %q", out)
		}
		for _, host := range []string{"far.example.com", "a.near.example.com", "x.near.example.com"} {
			if out := ask(p.https(host, "/")); strings.Contains(out, "sallyport: ") || out == "" {
				t.Errorf("%s: %q", host, out)
			}
		}
		want := []string{p.at("far.example.com"), p.at("127.0.0.1")}
		if got := carried(); !slices.Equal(got, want) {
			t.Errorf("the parent was asked for %v, and not %v", got, want)
		}
		st, err := admin.NewClient(s.control).Status(t.Context())
		if err != nil || len(st.Resolvers) != 2 || st.Resolvers[0].Asked == 0 || st.Resolvers[0].Failed != 0 || st.Resolvers[1].Asked != 0 || !strings.HasSuffix(st.Parents[0], ", judged by name only") || strings.Contains(st.Parents[1], "only") {
			t.Errorf("%+v %+v %v", st.Resolvers, st.Parents, err)
		}
		if out := s.exec("status", "--control", s.control); !strings.Contains(out.stdout, "judged by name only") || !strings.Contains(out.stdout, "0 without an answer") {
			t.Errorf("%+v", out)
		}
		if !strings.Contains(s.b.out.String(), "judged by name only") {
			t.Error("its log does not say so")
		}
		if !slices.ContainsFunc(p.records(), func(e audit.Entry) bool {
			return e.Str("event.name") == string(audit.LifecycleStart) && strings.Contains(e.Str("detail.network.parents"), "far.example.com by http://") && strings.HasPrefix(e.Str("detail.network.resolvers"), server)
		}) {
			t.Error("the start does not record it")
		}
		// Another certificate, no parents and no server that answers: no restart.
		s.rewrite(t, func(text string) string {
			text = strings.NewReplacer("one.pem", "two.pem", "one.key", "two.key", "  parents:\n", "  parents: []\n  x:\n").Replace(text)
			i, j := strings.Index(text, "  x:\n"), strings.Index(text, "  no_proxy:")
			return strings.Replace(text[:i]+text[j:], "dir: policies/web", "dir: policies/raw", 1)
		})
		if out := ask(fmt.Sprintf("https://mutual.example.com:%d/", mutual)); out != "you are two" {
			t.Errorf("after a reload: %q", out)
		}
		if out := ask(p.https("far.example.com", "/")); out == "" || strings.Contains(out, "sallyport: ") || len(carried()) != 2 {
			t.Errorf("after a reload: %q, %v", out, carried())
		}
	})
}

// The same by flags of run; what is a secret there is not shown inside.
func TestReachingByFlags(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		server, asked := nameServer(t)
		proxyAt, carried := parentProxy(t, "me:"+canary)
		p.env = append(p.env, "LOGIN=me:"+canary)
		flags := []string{"--allow", p.at("*.example.com"), "--resolver", server, "--parent", "http://" + proxyAt + ",login=env:LOGIN", "--no-proxy", "direct.example.com", "--env-all"}
		out := p.sh(flags, "for u in "+p.https("a.example.com", "/")+" "+p.https("direct.example.com", "/")+"; do curl -sS -o /dev/null -w '%{http_code} ' $u; done; env")
		if !strings.HasPrefix(out.stdout, "200 200 ") || asked() == 0 || strings.Contains(out.stdout, canary) {
			t.Errorf("%+v", out)
		}
		if got := carried(); !slices.Equal(got, []string{p.at("127.0.0.1")}) {
			t.Errorf("%v", got)
		}
		for flag, want := range map[string]string{
			"--resolver dns.example":                          "expected udp://",
			"--resolver udp://127.0.0.1,ca=/x":                "ca is for tls and https",
			"--parent ftp://a.example:1":                      "expected http://HOST:PORT",
			"--parent http://me:pa55@a.example:1":             "no place in the URL",
			"--parent http://a.example":                       "the port is missing",
			"--parent http://a.example:1,resolve=x":           "expected local or parent",
			"--parent http://a.example:1,colour=red":          "there is no option",
			"--parent http://a.example:1,login=me:" + canary:  "not repeated",
			"--parent http://a.example:1,login=env:NOT_THERE": "there is no variable",
			"--no-proxy a.example":                            "is for what a --parent would carry",
		} {
			out := p.exec(append(append([]string{"run"}, strings.Fields(flag)...), "--", "true")...)
			if out.code != 125 || !strings.Contains(out.stderr, want) || strings.Contains(out.stderr, canary) || strings.Contains(out.stderr, "pa55") {
				t.Errorf("%s: %+v", flag, out)
			}
		}
	})
}
