package proxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sallyport/proxy"
)

// A ledger is what an upstream that fails has read, by path.
type ledger struct {
	mu   sync.Mutex
	read map[string]int
}

func (l *ledger) add(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read[path]++
	return l.read[path]
}

func (l *ledger) of(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read[path]
}

// fails1 answers /warm, and ends a connection when it has read anything else, unless
// it was asked for that before.
func (l *ledger) fails1(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if n := l.add(r.Method + " " + r.URL.Path); r.URL.Path != "/warm" && n == 1 {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
}

// fails2 does the same over HTTP/2: a stream is reset with a code, or the connection
// goes away before or after it.
func (l *ledger) fails2(c net.Conn) {
	defer c.Close()
	f, ok := speak(c)
	if !ok {
		return
	}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		id, path, ok := f.requested()
		if !ok {
			return
		}
		what := path[strings.LastIndexByte(path, '/')+1:]
		if n := l.add(path); what == "warm" || n > 1 {
			f.head(id, true, ":status", "200")
			continue
		}
		switch what {
		case "refused":
			_ = f.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		case "protocol":
			_ = f.WriteRSTStream(id, http2.ErrCodeProtocol)
		case "cancel":
			_ = f.WriteRSTStream(id, http2.ErrCodeCancel)
		case "unseen": // it was not looked at
			_ = f.WriteGoAway(id-2, http2.ErrCodeNo, nil)
		case "seen":
			_ = f.WriteGoAway(id, http2.ErrCodeNo, nil)
			return
		}
	}
}

// requested waits for a request whose body has come, and returns its path.
func (f *framed) requested() (id uint32, path string, ok bool) {
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return 0, "", false
		}
		switch fr := fr.(type) {
		case *http2.SettingsFrame:
			if !fr.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if id, path = fr.StreamID, fr.PseudoValue("path"); fr.StreamEnded() {
				return id, path, true
			}
		case *http2.DataFrame:
			if fr.StreamEnded() {
				return id, path, true
			}
		}
	}
}

// hostile 145: what an upstream may have acted on is not sent again, unless the method
// is safe; nothing is that has a body; a key of a client's makes no difference
// (RFC 9110, 9.2.2). What is sent again is counted.
func TestResends(t *testing.T) {
	servers := newCA(t, "servers")
	cert := *servers.issue("www.example.com")
	l := &ledger{read: map[string]int{}}
	one := serving(t, &tls.Config{Certificates: []tls.Certificate{cert}}, l.fails1)
	two := serving(t, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}, l.fails2)
	r := newRig(t, rigging{policy: everything, more: func(c *proxy.Config) { c.UpstreamRoots = servers.pool() }})
	do := func(port int, method, path, body, more string) int {
		at := fmt.Sprintf("www.example.com:%d", port)
		c := tls.Client(r.connect(at), &tls.Config{RootCAs: r.roots, ServerName: "www.example.com"})
		defer c.Close()
		length := ""
		if body != "" || method == "POST" {
			length = fmt.Sprintf("Content-Length: %d\r\n", len(body))
		}
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n%s", method, path, at, length, more, body)
		resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
		if err != nil {
			t.Fatal(method, path, err)
		}
		return resp.StatusCode
	}
	const key = "Idempotency-Key: \"k\"\r\nX-Idempotency-Key: k\r\n"
	for _, c := range []struct {
		port                     int
		method, path, body, more string
		status, read             int
	}{
		{one, "GET", "/a", "", "", 200, 2},
		{one, "HEAD", "/a", "", "", 200, 2},
		{one, "GET", "/b", "body", "", 502, 1},
		{one, "POST", "/c", "", "", 502, 1},
		{one, "POST", "/d", "", key, 502, 1},
		{one, "POST", "/e", "body", key, 502, 1},
		{one, "PATCH", "/f", "body", "", 502, 1},
		{two, "GET", "/g/refused", "", "", 200, 2},
		{two, "GET", "/g/protocol", "", "", 200, 2},
		{two, "GET", "/g/cancel", "", "", 502, 1},
		{two, "GET", "/g/unseen", "", "", 200, 2},
		{two, "POST", "/p/protocol", "", "", 502, 1},
		{two, "POST", "/k/protocol", "", key, 502, 1},
		{two, "POST", "/p/cancel", "", "", 502, 1},
		{two, "POST", "/p/seen", "", "", 502, 1},
		{two, "POST", "/b/refused", "body", "", 502, 1},
		{two, "POST", "/b/unseen", "body", "", 502, 1},
	} {
		if status := do(c.port, "GET", "/warm", "", ""); status != 200 { // a connection that was used before
			t.Fatalf("%d", status)
		}
		status := do(c.port, c.method, c.path, c.body, c.more)
		name := c.method + " " + c.path
		if c.port == two {
			name = c.path
		}
		if n := l.of(name); status != c.status || n != c.read {
			t.Errorf("%s %s: %d, read %d times, and not %d, %d", c.method, c.path, status, n, c.status, c.read)
		}
		e := r.found(map[string]string{"event.name": "egress.request.complete", "url.path": c.path, "http.request.method": c.method})
		if len(e) != 1 || int(e[0].Int("http.request.resend_count")) != c.read-1 {
			t.Errorf("%s %s: %v", c.method, c.path, e)
		}
	}
}
