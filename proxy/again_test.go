package proxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"sallyport/audit"
	"sallyport/credentials"
	"sallyport/dest"
	"sallyport/origin"
)

// rotating is a source whose secret an operator changes.
type rotating struct {
	mu    sync.Mutex
	n     int
	asked int
}

func (r *rotating) Fetch(context.Context, credentials.Params) (credentials.Value, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	s, err := credentials.NewSecret(fmt.Appendf(nil, "rotated-secret-%d", r.n))
	return credentials.Value{Secret: s}, err
}

func (*rotating) String() string { return "test:rotating" }

func (r *rotating) rotate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
}

// hostile 125: after a rotation a 401 has the secret fetched anew, and the request sent
// once more, if it may be; never a body, and never without end.
func TestRefusedAfterRotation(t *testing.T) {
	src := &rotating{}
	held := credentials.Hold(src, credentials.Terms{})
	t.Cleanup(func() { _ = held.Close() })
	host, err := dest.ParseHost("held.example.com")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []string
	want := "0"
	rg := newRig(t, rigging{policy: "package egress\n\nallow if true\n\ncredentials contains \"held\"\n", bindings: []credentials.Binding{{Name: "held", Source: held, Bind: credentials.Bind{Host: host}, Place: credentials.Place{Kind: credentials.Bearer}}},
		origin: origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer rotated-secret-")
			seen = append(seen, req.Method+" "+got)
			if got != want {
				w.WriteHeader(http.StatusUnauthorized)
			}
			fmt.Fprintln(w, req.Header.Get("Authorization"))
		})}})
	ask := func(method, body, want string, codes int) {
		t.Helper()
		mu.Lock()
		seen = nil
		mu.Unlock()
		c := rg.connected(t, "held.example.com")
		defer func() { _ = c.Close() }()
		fmt.Fprintf(c, "%s / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", method, rg.at("held.example.com"), len(body), body)
		raw, _ := answerOf(c)
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(seen, ", "); got != want || !strings.HasPrefix(string(raw), fmt.Sprint("HTTP/1.1 ", codes)) || strings.Contains(string(raw), "rotated-secret") {
			t.Errorf("%s %s: the origin saw %q, want %q; %s", method, body, got, want, raw)
		}
	}
	turn := func(n string) {
		mu.Lock()
		defer mu.Unlock()
		want = n
		src.rotate()
	}
	ask("GET", "", "GET 0", 200)
	turn("1")
	ask("GET", "", "GET 0, GET 1", 200)
	ask("GET", "", "GET 1", 200)
	turn("none") // what it gives is turned down as well
	ask("GET", "", "GET 1", 401)
	ask("GET", "", "GET 1", 401)
	src.mu.Lock()
	if src.asked > 3 {
		t.Errorf("the source was asked %d times", src.asked)
	}
	src.mu.Unlock()
	if e := rg.found(map[string]string{"event.name": string(audit.RequestComplete), "resends": "1"}); len(e) > 1 {
		t.Errorf("%d were sent again", len(e))
	}
}

// A body is never sent twice, though the next request has the newer secret.
func TestRefusedBodies(t *testing.T) {
	src := &rotating{}
	held := credentials.Hold(src, credentials.Terms{})
	t.Cleanup(func() { _ = held.Close() })
	host, err := dest.ParseHost("held.example.com")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []string
	rg := newRig(t, rigging{policy: "package egress\n\nallow if true\n\ncredentials contains \"held\"\n", bindings: []credentials.Binding{{Name: "held", Source: held, Bind: credentials.Bind{Host: host}, Place: credentials.Place{Kind: credentials.Bearer}}},
		origin: origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer rotated-secret-")
			if seen = append(seen, req.Method+" "+got); got == "0" && len(seen) > 1 {
				w.WriteHeader(http.StatusUnauthorized)
			}
		})}})
	for i, method := range []string{"GET", "PUT", "GET"} {
		if i == 1 {
			src.rotate()
		}
		body := map[string]string{"PUT": "x=1"}[method]
		c := rg.connected(t, "held.example.com")
		fmt.Fprintf(c, "%s / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", method, rg.at("held.example.com"), len(body), body)
		_, _ = answerOf(c)
		_ = c.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(seen, ", "); got != "GET 0, PUT 0, GET 1" {
		t.Errorf("the origin saw %q", got)
	}
}

// connected opens TLS to a host through the proxy.
func (r *rig) connected(t *testing.T, host string) *tls.Conn {
	t.Helper()
	c, err := r.tls(host, &tls.Config{NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
