package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/proxy"
)

// hostile 47: an upstream that agrees on another protocol with each connection, or on
// none, is spoken to as it agreed, on that connection.
func TestALPNThatChanges(t *testing.T) {
	servers := newCA(t, "servers")
	cert := *servers.issue("www.example.com")
	var n atomic.Int64
	offers := [][]string{{"http/1.1"}, {"h2", "http/1.1"}, nil, {"h2"}, {"http/1.1", "h2"}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		next := offers[int(n.Add(1)-1)%len(offers)]
		return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: next}, nil
	}, Certificates: []tls.Certificate{cert}}
	srv := &http.Server{TLSConfig: cfg, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // over HTTP/2: goes away
		_, _ = io.WriteString(w, r.Proto)
	})}
	go func() { _ = srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = srv.Close() })
	r := newRig(t, rigging{policy: everything, more: func(c *proxy.Config) { c.UpstreamRoots = servers.pool() }})
	var got []string
	for range offers {
		status, body := r.tell("www.example.com", l.Addr().(*net.TCPAddr).Port)
		got = append(got, fmt.Sprint(status, " ", body))
	}
	if want := "200 HTTP/1.1, 200 HTTP/2.0, 200 HTTP/1.1, 200 HTTP/2.0, 200 HTTP/1.1"; strings.Join(got, ", ") != want {
		t.Errorf("%v, and not %s", got, want)
	}
}
