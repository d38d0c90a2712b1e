package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/origin"
)

// hostile 357: what comes of a body after its request was answered is no request,
// though net/http goes on to read one; a body that comes whole is followed by the next.
func TestRestOfABodyIsNoRequest(t *testing.T) {
	g, err := origin.Start(origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.WriteString(w, "answered "+r.Method)
	})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	r := newRig(t, rigging{policy: "package egress\n\nallow if input.request.path != \"/denied\"\n"})
	at := fmt.Sprintf("http://api.example.com:%d", g.PlainPort)
	for _, path := range []string{"/early", "/denied"} {
		for _, whole := range []bool{false, true} {
			if whole && path == "/early" { // whether it is read whole is a race
				continue
			}
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			rest := strings.Repeat("x", 997)
			fmt.Fprintf(c, "POST %s%s HTTP/1.1\r\nHost: api.example.com:%d\r\nContent-Length: 1000\r\n\r\nabc", at, path, g.PlainPort)
			if whole {
				_, _ = io.WriteString(c, rest)
			}
			in := bufio.NewReader(c)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%s %v: %v", path, whole, err)
			}
			b, _ := io.ReadAll(resp.Body)
			if (path == "/early") != (string(b) == "answered POST") {
				t.Errorf("%s %v: %s", path, whole, b)
			}
			_, _ = fmt.Fprintf(c, "GET %s/next HTTP/1.1\r\nHost: api.example.com:%d\r\n\r\n", at, g.PlainPort)
			b, _ = io.ReadAll(io.LimitReader(in, 12))
			if next := len(b) > 0; next != whole {
				t.Errorf("%s %v: the next is answered with %q", path, whole, b)
			}
		}
	}
}

// hostile 26, 62: what follows a CONNECT that is refused is no request: the strict
// front has not seen it.
func TestRefusedConnectEnds(t *testing.T) {
	r := newRig(t, rigging{policy: everything})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "CONNECT api.example.com:25 HTTP/1.1\r\nHost: api.example.com:25\r\n\r\nGET http://api.example.com:%d/next HTTP/1.1\nHost: api.example.com:%[1]d\n\n", r.origin.PlainPort)
	b, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(b), "HTTP/1.1 403 ") || strings.Count(string(b), "HTTP/1.1 ") != 1 || len(r.origin.Seen()) != 0 {
		t.Errorf("%s, and %d arrived", b, len(r.origin.Seen()))
	}
}
