package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/origin"
)

// hostile 136, 144, 370: clients that leave in the middle, by a reset or half, and such
// as stop without leaving, in numbers: what the origin does for them ends, and nothing is
// kept of them while another sandbox is served.
func TestStormsOfClients(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	runtime.LockOSThread() // a thread that ends would be the end of the sidecar's parent
	const storm = 60
	var busy, asked atomic.Int64 // requests with the origin, now and ever
	p := newPlace(t, callers()[0], origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			fmt.Fprint(w, "served")
			return
		}
		busy.Add(1)
		asked.Add(1)
		defer busy.Add(-1)
		switch r.URL.Path {
		case "/hold":
			<-r.Context().Done()
		case "/read":
			_, _ = io.Copy(io.Discard, r.Body)
		case "/pour":
			for b := bytes.Repeat([]byte("pour"), 8<<10); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}
	})})
	s := p.sidecar(t, "limits: {tunnel_idle: 1s}\n")
	client := admin.NewClient(s.control)
	box, other := s.boxed(client, "stormy", "strict"), s.boxed(client, "other", "strict")
	plain := fmt.Sprintf("api.example.com:%d", p.origin.PlainPort)
	open := func(port, n int) []net.Conn {
		cs, err := box.dial(t, port, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cs {
			_ = c.SetDeadline(time.Now().Add(time.Minute))
		}
		return cs
	}
	ask := func(path, more string) (cs []net.Conn) {
		for _, c := range open(p.origin.PlainPort, storm) {
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, plain, more)
			cs = append(cs, c)
		}
		return cs
	}
	served := func() {
		t.Helper()
		if got := p.talk(t, other.ns, other.addr.String(), "GET / HTTP/1.1\r\nHost: "+plain+"\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, "served") {
			t.Errorf("another sandbox: %q", got)
		}
	}
	arrived := func(n int64) {
		t.Helper()
		until(t, "requests at the origin", func() bool { return asked.Load() >= n })
	}
	gone := func(what string) {
		t.Helper()
		served()
		until(t, what+" ends at the origin", func() bool { return busy.Load() == 0 })
	}
	reset := func(cs []net.Conn) {
		for _, c := range cs {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	}
	served()
	before := s.settled()

	cs := ask("/hold", "")
	arrived(storm)
	reset(cs)
	gone("a request that was reset")

	cs = ask("/hold", "")
	arrived(2 * storm)
	for _, c := range cs {
		_ = c.(*net.TCPConn).CloseWrite()
	}
	gone("a request that was half closed")
	reset(cs)

	c := open(p.origin.TLSPort, 1)[0]
	h2 := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "api.example.com", NextProtos: []string{"h2"}}) //nolint:gosec // who answers is not what is tested
		return tc, tc.HandshakeContext(ctx)
	}}
	ctx, cancel := context.WithCancel(t.Context())
	get := func(path string) {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, p.https("api.example.com", path), nil)
		if resp, err := h2.RoundTrip(r); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
	get("/") // the connection that all use
	for range storm {
		go get("/hold")
	}
	arrived(3 * storm)
	cancel()
	gone("a stream that was reset")
	_ = c.Close()

	stopped := ask("/read", "Content-Length: 4000\r\n") // and none of them
	stopped = append(stopped, ask("/pour", "")...)      // and none is read
	stopped = append(stopped, ask("/a/../b", "Transfer-Encoding: chunked\r\n")...)
	arrived(4 * storm)
	gone("a request of who stopped")

	for range 5 {
		cs = open(p.origin.TLSPort, storm)
		for i, c := range cs {
			_, _ = c.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")[:i%12])
		}
		reset(cs)
	}
	served()

	var after usage
	left := func() bool {
		after = s.usage()
		return after.fds > before.fds+8 || after.goroutines > before.goroutines+8
	}
	for end := time.Now().Add(time.Minute); left() && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	}
	if t.Logf("before %+v, after %+v", before, after); left() {
		t.Error("they left something behind")
	}
	for _, c := range stopped {
		_ = c.Close()
	}
	for code, n := range map[string]int{"client_stalled": 2 * storm, "canceled": 1} {
		if got := len(p.find(map[string]string{"event.name": "egress.request.complete", "error.type": code})); got < n {
			t.Errorf("%d outcomes say %s, want %d", got, code, n)
		}
	}
	box.end()
	other.end()
	s.stop()
}
