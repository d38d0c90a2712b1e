package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/origin"
	"sallyport/policy"
	"sallyport/proxy"
)

// client is an HTTP client whose connections go through the proxy's TLS.
func (r *rig) client(t *testing.T, h2 bool) *http.Client {
	t.Helper()
	cfg := &tls.Config{NextProtos: []string{"http/1.1"}}
	dial := func() (*tls.Conn, error) { return r.tls("api.example.com", cfg) }
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetHTTP2(h2)
	if h2 {
		cfg.NextProtos = []string{"h2"}
	}
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true, Protocols: p,
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return dial() }}
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// hostile 47: each side speaks what was agreed on with it.
func TestProtocols(t *testing.T) {
	for _, up := range []bool{true, false} {
		r := newRig(t, rigging{origin: origin.Options{HTTP1: !up}})
		for _, down := range []bool{true, false} {
			resp, err := r.client(t, down).Post("https://"+r.at("api.example.com")+"/x", "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			seen := r.origin.Seen()
			if last := seen[len(seen)-1]; resp.StatusCode != http.StatusOK || (resp.ProtoMajor == 2) != down || (last.Proto == "HTTP/2.0") != up || last.Body != "hello" {
				t.Errorf("upstream h2 %v, downstream h2 %v: %s %+v", up, down, resp.Proto, last)
			}
		}
	}
}

// hostile 61, 94: what an answer must not bring, in its head and behind its body.
func TestTrailers(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum, Set-Cookie, Location")
		w.Header().Set("X-Trailers", fmt.Sprint(len(r.Trailer)))
		fmt.Fprint(w, "body")
		w.Header().Set("X-Sum", "1")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Location", "/x")
	})
	r := newRig(t, rigging{origin: origin.Options{Handler: h}})
	for _, h2 := range []bool{true, false} {
		req, _ := http.NewRequest(http.MethodPost, "https://"+r.at("api.example.com")+"/", io.NopCloser(strings.NewReader("x")))
		req.Trailer = http.Header{"X-Mine": {"1"}}
		resp, err := r.client(t, h2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.Trailer.Get("X-Sum") != "1" || len(resp.Trailer) != 1 || resp.Header.Get("X-Trailers") != "0" {
			t.Errorf("h2 %v: %v %v", h2, resp.Trailer, resp.Header)
		}
	}
}

// hostile 94: nothing leads to QUIC.
func TestAltSvc(t *testing.T) {
	r := newRig(t, rigging{origin: origin.Options{HTTP1: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Alt-Svc", `h3=":443"; ma=86400`)
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
	})}})
	resp, _ := r.through(t, "api.example.com", "/")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Alt-Svc") != "" || resp.Header.Get("X-Hop") != "" {
		t.Errorf("%v", resp.Header)
	}
}

// hostile 63: the 100 is ours to give, and the upstream is not asked for one.
func TestExpect(t *testing.T) {
	r := newRig(t, rigging{origin: origin.Options{HTTP1: true}})
	c, err := r.tls("api.example.com", &tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", r.at("api.example.com"))
	br := bufio.NewReader(c)
	line, err := br.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("%q %v", line, err)
	}
	fmt.Fprint(c, "hello")
	_, _ = br.ReadString('\n')
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	if s := r.origin.Seen(); len(s) != 1 || s[0].Header.Get("Expect") != "" || s[0].Body != "hello" {
		t.Errorf("%+v", s)
	}
	// A refusal comes in the place of the 100: the body is not asked for.
	c, err = r.tls("api.example.com", &tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /a/../b HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", r.at("api.example.com"))
	if resp, err = http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Error(resp, err)
	}
}

// hostile 11: no network that is opened opens a metadata service by its name.
func TestMetadataName(t *testing.T) {
	r := newRig(t, rigging{policy: "package egress\n\nallow if true\n", private: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
	for _, host := range []string{"metadata.google.internal", "metadata", "instance-data.ec2.internal"} {
		if resp, body := r.through(t, host, "/"); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "address_denied") {
			t.Errorf("%s: %v %s", host, resp.StatusCode, body)
		}
	}
	if len(r.asked.names) != 0 || len(r.origin.Seen()) != 0 {
		t.Errorf("asked for %v", r.asked.names)
	}
}

// hostile 12, 14: a name is resolved once for a connection, and what was judged
// is what is dialled.
func TestRebinding(t *testing.T) {
	r := newRig(t, rigging{})
	for i := range 3 {
		if resp, _ := r.through(t, "api.example.com", "/"); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.StatusCode)
		}
		r.asked.mu.Lock()
		if len(r.asked.names) > i+1 {
			t.Errorf("%d requests, %d look-ups", i+1, len(r.asked.names))
		}
		r.asked.mu.Unlock()
	}
}

// A panicky decider has a bug.
type panicky struct{ proxy.Decider }

func (p panicky) Has(ph policy.Phase) bool { return ph == policy.Connect || p.Decider.Has(ph) }

func (p panicky) Decide(ctx context.Context, q *policy.Question) *policy.Decision {
	switch q.Destination.Addr.Host().String() {
	case "connect.example.com":
		panic("a bug in phase connect")
	case "request.example.com":
		if q.Phase == policy.Request {
			panic("a bug in phase request")
		}
	}
	if q.Phase == policy.Connect {
		return &policy.Decision{Phase: q.Phase}
	}
	return p.Decider.Decide(ctx, q)
}

// hostile 147: a bug ends one request or connection, with a record, and the
// next one works.
func TestPanic(t *testing.T) {
	r := newRig(t, rigging{policy: "package egress\n\nallow if true\n", decide: func(d proxy.Decider) proxy.Decider { return panicky{d} }})
	if resp, body := r.through(t, "request.example.com", "/"); resp.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "internal") {
		t.Errorf("%v %s", resp.StatusCode, body)
	}
	if _, err := r.tls("connect.example.com", &tls.Config{}); err == nil {
		t.Error("the connection was opened")
	}
	for _, f := range []map[string]string{{"event.name": "egress.request.decision", "url.domain": "request.example.com", "policy.code": "internal"}, {"event.name": "egress.tunnel.decision", "url.domain": "connect.example.com", "policy.code": "internal"}} {
		if len(r.found(f)) != 1 {
			t.Errorf("not recorded: %v", f)
		}
	}
	if resp, _ := r.through(t, "api.example.com", "/"); resp.StatusCode != http.StatusOK || len(r.origin.Seen()) != 1 {
		t.Error("the proxy did not live on")
	}
}

// hostile 44: no TLS session, on either side, of one sandbox is resumed by another.
func TestSessionsAreApart(t *testing.T) {
	r := newRig(t, rigging{origin: origin.Options{HTTP1: true}})
	second := r.open("second")
	cache := tls.NewLRUClientSessionCache(8)
	var mu sync.Mutex
	ask := func(addr string) (down bool) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		was := r.addr
		r.addr = addr
		defer func() { r.addr = was }()
		c, err := r.tls("api.example.com", &tls.Config{ClientSessionCache: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /cut HTTP/1.1\r\nHost: %s\r\n\r\n", r.at("api.example.com")) // cut, so that its upstream connection is not used again
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		return c.ConnectionState().DidResume
	}
	if ask(r.addr) || !ask(r.addr) {
		t.Error("a sandbox does not resume its own session")
	}
	if ask(second) {
		t.Error("a sandbox resumed another's session")
	}
	var resumed []string
	for range 100 {
		if resumed = nil; len(r.found(map[string]string{"event.name": "egress.request.complete"})) == 3 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, e := range r.found(map[string]string{"event.name": "egress.request.complete"}) {
		resumed = append(resumed, fmt.Sprint(strings.Contains(string(e.Line), `"upstream.tls.resumed":true`)))
	}
	if strings.Join(resumed, " ") != "false true false" {
		t.Errorf("upstream sessions were resumed: %v", resumed)
	}
}
