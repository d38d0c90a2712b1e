package proxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"sallyport/proxy"
)

// An answer in the smallest of frames, many that nobody reads to their end, and many
// that are nothing but a head, are no flood: their connection is used all the while.
func TestAnswersAreNoChatter(t *testing.T) {
	servers := newCA(t, "servers")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns atomic.Int64
	const drops = 120000
	srv := &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{*servers.issue("www.example.com")}}, ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				conns.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/drip":
				for range drops {
					_, _ = w.Write([]byte("x"))
					_ = http.NewResponseController(w).Flush()
				}
			case "/big":
				_, _ = io.CopyN(w, endlessly{}, 4<<20)
			case "/head":
				w.Header().Set("X-Large", fmt.Sprintf("%032000d", 1))
			}
		})}
	go func() { _ = srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = srv.Close() })
	r := newRig(t, rigging{policy: everything, more: func(c *proxy.Config) { c.UpstreamRoots = servers.pool() }})
	at := fmt.Sprintf("www.example.com:%d", l.Addr().(*net.TCPAddr).Port)
	c := tls.Client(r.connect(at), &tls.Config{RootCAs: r.roots, ServerName: "www.example.com", NextProtos: []string{"h2"}})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	get := func(path string, want int64) {
		t.Helper()
		resp, err := client.Get("https://" + at + path)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(path, resp, err)
		}
		defer resp.Body.Close()
		if n, err := io.CopyN(io.Discard, resp.Body, want); n != want {
			t.Fatalf("%s: %d of %d, %v", path, n, want, err)
		}
	}
	get("/drip", drops)
	for range 40 {
		get("/big", 10) // and no more
		get("/head", 0)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// endlessly is a reader of bytes without end.
type endlessly struct{}

func (endlessly) Read(p []byte) (int, error) { return len(p), nil }
