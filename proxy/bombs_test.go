package proxy_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sallyport/proxy"
)

// A sham is a key that never signed anything.
type sham struct{ pub crypto.PublicKey }

func (s sham) Public() crypto.PublicKey { return s.pub }
func (s sham) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, s.pub.(*rsa.PublicKey).Size()), nil
}

// bomb makes a certificate of a name that has these others, and this key.
func (c *ca) bomb(names []string, pub crypto.PublicKey, key crypto.PrivateKey) tls.Certificate {
	c.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "bomb"}, DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}, c.cert, pub, c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// used is the time that this process has used of all processors.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// hostile 46: certificates that are large in every way there is are refused for little,
// and what is recorded of them is short.
func TestCertificateBombs(t *testing.T) {
	servers := newCA(t, "servers")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	many := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("name-%06d.example.com", i))
		}
		return out
	}
	modulus := make([]byte, 2048)
	_, _ = rand.Read(modulus)
	modulus[0], modulus[2047] = 0xff, 0xff
	giant := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}
	long := *servers.issue("www.example.com")
	for range 400 {
		long.Certificate = append(long.Certificate, servers.cert.Raw)
	}
	for name, c := range map[string]struct {
		cert tls.Certificate
		want string
	}{
		"names":         {servers.bomb(many(3500), key.Public(), key), "tls_verify"},
		"more names":    {servers.bomb(many(9000), key.Public(), key), "tls_failed"},
		"a chain":       {long, "tls_failed"},
		"a giant key":   {servers.bomb([]string{"www.example.com"}, giant, sham{giant}), "tls_failed"},
		"nothing amiss": {*servers.issue(append(many(100), "www.example.com")...), ""},
	} {
		t.Run(name, func(t *testing.T) {
			port := serving(t, &tls.Config{Certificates: []tls.Certificate{c.cert}}, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			})
			r := newRig(t, rigging{policy: everything, more: func(c *proxy.Config) { c.UpstreamRoots = servers.pool() }})
			before := used(t)
			status, body := r.tell("www.example.com", port)
			cost := used(t) - before
			if c.want == "" {
				if status != 200 {
					t.Errorf("%d %s", status, body)
				}
				return
			}
			if status != http.StatusBadGateway || !strings.Contains(body, c.want) || len(body) > 300 || cost > 3*time.Second {
				t.Errorf("%d %.300s, for %v", status, body, cost)
			}
			if e := r.found(map[string]string{"error.type": c.want}); len(e) != 1 || len(e[0].Line) > 32<<10 {
				t.Errorf("%d records", len(e))
			}
		})
	}
}

// hostile 139: an upstream that breaks HTTP/2, or says in it what means nothing without
// end, is given up, and costs nothing afterwards.
func TestHostileH2(t *testing.T) {
	servers := newCA(t, "servers")
	cfg := &tls.Config{Certificates: []tls.Certificate{*servers.issue("www.example.com")}, NextProtos: []string{"h2"}}
	ends := func(f *framed, do func() error) {
		go func() { _, _ = io.Copy(io.Discard, f.Conn) }() // acknowledgements are taken
		for do() == nil {
		}
	}
	setting := func(id http2.SettingID, v uint32) func(net.Conn) {
		return func(c net.Conn) {
			if f, ok := speak(c, http2.Setting{ID: id, Val: v}); ok {
				_, _ = f.request(true)
				hang(c)
			}
		}
	}
	asked := func(then func(*framed, uint32)) func(net.Conn) {
		return func(c net.Conn) {
			if f, ok := speak(c); ok {
				if id, ok := f.request(true); ok {
					then(f, id)
				}
				hang(c)
			}
		}
	}
	for name, serve := range map[string]func(net.Conn){
		"a frame size of 0": setting(http2.SettingMaxFrameSize, 0),
		"a frame size of 1": setting(http2.SettingMaxFrameSize, 1),
		"a window of 2^31":  setting(http2.SettingInitialWindowSize, 1<<31),
		"a window of 0":     setting(http2.SettingInitialWindowSize, 0),
		"no streams":        setting(http2.SettingMaxConcurrentStreams, 0),
		"pings":             asked(func(f *framed, _ uint32) { ends(f, func() error { return f.WritePing(false, [8]byte{1}) }) }),
		"settings":          asked(func(f *framed, _ uint32) { ends(f, func() error { return f.WriteSettings() }) }),
		"unknown frames": asked(func(f *framed, _ uint32) {
			ends(f, func() error { return f.WriteRawFrame(0x5a, 0, 0, make([]byte, 8192)) })
		}),
		"empty data":         asked(func(f *framed, id uint32) { ends(f, func() error { return f.WriteData(id, false, nil) }) }),
		"data before a head": asked(func(f *framed, id uint32) { _ = f.WriteData(id, false, []byte("x")) }),
		"data of no stream":  asked(func(f *framed, id uint32) { _ = f.WriteData(id+2, false, []byte("x")) }),
		"half a frame":       asked(func(f *framed, _ uint32) { _, _ = f.Conn.Write([]byte{0xff, 0xff, 0xff, 0}) }),
		"a push": asked(func(f *framed, id uint32) {
			_ = f.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: []byte{0x88}, EndHeaders: true})
		}),
		"continuation": asked(func(f *framed, id uint32) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}})
			ends(f, func() error { return f.WriteContinuation(id, false, nil) })
		}),
		"a head without end": asked(func(f *framed, id uint32) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}})
			ends(f, func() error {
				return f.WriteContinuation(id, false, []byte("\x00\x01a\x01b\x00\x01a\x01b\x00\x01a\x01b"))
			})
		}),
		"hints": asked(func(f *framed, id uint32) {
			ends(f, func() error { f.head(id, false, ":status", "103"); return f.WritePing(false, [8]byte{}) })
		}),
		"upper case":      asked(func(f *framed, id uint32) { f.head(id, true, ":status", "200", "X-A", "b") }),
		"no status":       asked(func(f *framed, id uint32) { f.head(id, true, "x-a", "b") }),
		"a second status": asked(func(f *framed, id uint32) { f.head(id, true, ":status", "200", ":status", "204") }),
	} {
		t.Run(name, func(t *testing.T) {
			port := serving(t, cfg, serve)
			r := newRig(t, rigging{policy: everything, more: func(c *proxy.Config) {
				c.UpstreamRoots = servers.pool()
				c.Reach = &proxy.Reach{Timeouts: proxy.Timeouts{Request: 500 * time.Millisecond, Response: 500 * time.Millisecond}}
			}})
			conn := tls.Client(r.connect(fmt.Sprintf("www.example.com:%d", port)), &tls.Config{RootCAs: r.roots, ServerName: "www.example.com"})
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: www.example.com:%d\r\nContent-Length: 4\r\n\r\nbody", port)
			br := bufio.NewReader(conn)
			resp, err := http.ReadResponse(br, nil)
			for err == nil && resp.StatusCode == http.StatusEarlyHints {
				resp, err = http.ReadResponse(br, nil)
			}
			if err != nil || resp.StatusCode != http.StatusBadGateway && resp.StatusCode != http.StatusGatewayTimeout {
				t.Fatal(resp, err)
			}
			calm := false
			for range 100 { // a flood ends by what it says, some seconds later
				before := used(t)
				time.Sleep(200 * time.Millisecond)
				if calm = used(t)-before < 60*time.Millisecond; calm {
					break
				}
			}
			if !calm {
				t.Error("it goes on costing")
			}
		})
	}
}

// The same flood where HTTP/2 is spoken without TLS.
func TestHostileH2C(t *testing.T) {
	gone := make(chan struct{})
	port := serving(t, nil, func(c net.Conn) {
		f, ok := speak(c)
		if !ok {
			return
		}
		if _, ok = f.request(true); !ok {
			return
		}
		go func() { _, _ = io.Copy(io.Discard, c) }()
		for f.WritePing(false, [8]byte{1}) == nil {
		}
		close(gone)
	})
	r := newRig(t, rigging{policy: everything, more: func(c *proxy.Config) {
		c.Reach = &proxy.Reach{Timeouts: proxy.Timeouts{Response: 500 * time.Millisecond}}
	}})
	at := fmt.Sprintf("www.example.com:%d", port)
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p, DialContext: func(context.Context, string, string) (net.Conn, error) { return r.connect(at), nil }}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Get("http://" + at + "/")
	if err != nil || resp.StatusCode < 500 {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("it goes on")
	}
}

// hostile 143: an answer without end, quick or slow, ends by what policy allows.
func TestEndlessAnswers(t *testing.T) {
	servers := newCA(t, "servers")
	quick := serving(t, nil, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				if _, err := c.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}
	})
	slow := serving(t, nil, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	})
	r := newRig(t, rigging{policy: everything + "\nlimits contains {\"response_bytes\": 1048576, \"seconds\": 1}\n", more: func(c *proxy.Config) { c.UpstreamRoots = servers.pool() }})
	for port, want := range map[int]string{quick: "response_too_large", slow: "upstream_timeout"} {
		resp, body, err := r.get(fmt.Sprintf("www.example.com:%d", port), "/")
		if err == nil || resp == nil || resp.StatusCode != 200 || len(body) > 1<<20 {
			t.Errorf("%s: it looks whole: %v %d bytes", want, resp, len(body))
		}
		if e := r.found(map[string]string{"url.port": fmt.Sprint(port), "event.name": "egress.request.complete"}); len(e) != 1 || e[0].Str("error.type") != want {
			t.Errorf("%s: %v", want, e[0].Str("error.type")+e[0].Str("error.message"))
		}
	}
}
