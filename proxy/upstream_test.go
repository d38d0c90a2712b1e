package proxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/origin"
)

// rawOrigin answers the first request of each connection with bytes.
func rawOrigin(t *testing.T, answer string) (authority string, conns *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	conns = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				br := bufio.NewReader(c)
				for {
					if _, err := http.ReadRequest(br); err != nil {
						return
					}
					if _, err := io.WriteString(c, answer); err != nil {
						return
					}
					if strings.HasSuffix(answer, "CUT") {
						return
					}
				}
			}()
		}
	}()
	return fmt.Sprintf("api.example.com:%d", l.Addr().(*net.TCPAddr).Port), conns
}

// get sends one request through the explicit proxy.
func (r *rig) get(authority, path string) (*http.Response, string, error) {
	r.t.Helper()
	c := r.dial()
	defer c.Close()
	fmt.Fprintf(c, "GET http://%[1]s%[2]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", authority, path)
	br := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return nil, "", err
		}
		if resp.StatusCode < 200 {
			continue
		}
		b, err := io.ReadAll(resp.Body)
		return resp, string(b), err
	}
}

// hostile 73, 74: answers that have two readings, or none, are 502, and what
// stands behind them is nobody's answer.
func TestHostileOrigin(t *testing.T) {
	r := newRig(t, rigging{})
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	flood := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 40) + ok
	for name, answer := range map[string]string{
		"both lengths":             "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		"two lengths":              "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
		"a signed length":          "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
		"a coding in disguise":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		"a coding in HTTP/1.0":     "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		"no status":                "HTTP/1.1 OK\r\n\r\n",
		"a status that means none": "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
		"a status of two digits":   "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
		"another protocol":         "SSH-2.0-OpenSSH_9\r\n\r\n",
		"HTTP/2 unasked":           "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		"NUL in a field":           "HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 2\r\n\r\nhi",
		"CR in a field":            "HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\nhi",
		"a name with a space":      "HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 2\r\n\r\nhi",
		"a head without end":       "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 400) + "\r\n",
		"101 unasked":              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"1xx without end":          flood,
		"nothing":                  "CUT",
	} {
		t.Run(name, func(t *testing.T) {
			at, _ := rawOrigin(t, answer)
			resp, body, err := r.get(at, "/")
			if err != nil || resp.StatusCode != http.StatusBadGateway || !strings.HasPrefix(body, "sallyport: ") {
				t.Errorf("%v %v %q", resp, err, body)
			}
		})
	}
	// Informational answers race with one of our own: whichever comes first, the
	// other is not written into it.
	at0, _ := rawOrigin(t, strings.Repeat("HTTP/1.1 103 Early Hints\r\n"+strings.Repeat("Link: </a>\r\n", 50)+"\r\n", 15)+ok)
	for i := range 40 {
		c := r.dial()
		fmt.Fprintf(c, "POST http://%[1]s/ HTTP/1.1\r\nHost: %[1]s\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", at0)
		time.Sleep(time.Duration(i) * 100 * time.Microsecond)
		_, _ = io.WriteString(c, "zz\r\n")
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	// What is cut looks cut, in each framing.
	for name, answer := range map[string]string{
		"a short length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nCUT",
		"a short chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nCUT",
		"a bad chunk":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n",
	} {
		at, _ := rawOrigin(t, answer)
		if _, body, err := r.get(at, "/"); err == nil {
			t.Errorf("%s looks whole: %q", name, body)
		}
	}
	// A second answer behind the first is dropped with its connection.
	at, conns := rawOrigin(t, ok+"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
	for range 3 {
		if _, body, err := r.get(at, "/"); err != nil || body != "hi" {
			t.Errorf("%q %v", body, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if conns.Load() != 3 {
		t.Errorf("a poisoned connection was used again: %d for 3 requests", conns.Load())
	}
}

// hostile 43, on both sides.
func TestOldTLS(t *testing.T) {
	r := newRig(t, rigging{})
	if c, err := r.tls("api.example.com", &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Errorf("TLS %x was spoken", c.ConnectionState().Version)
	}
	if len(r.found(map[string]string{"policy.code": "tls_handshake"})) != 1 {
		t.Error("it is not recorded")
	}
	old := newRig(t, rigging{origin: origin.Options{MaxTLS: tls.VersionTLS11, HTTP1: true}})
	resp, body := old.through(t, "api.example.com", "/")
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "tls_failed") || len(old.origin.Seen()) != 0 {
		t.Errorf("%v %s", resp, body)
	}
}

// through sends one request over TLS that the proxy opens.
func (r *rig) through(t *testing.T, host, path string) (*http.Response, string) {
	t.Helper()
	c, err := r.tls(host, &tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, r.at(host))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	return resp, string(b)
}

// hostile 12, 13, 28: a name is looked up once, as it is, and one address that is
// not public condemns the answer.
func TestMixedAnswer(t *testing.T) {
	public, private := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1")
	r := newRig(t, rigging{policy: "package egress\n\nallow if true\n", addrs: map[string][]netip.Addr{
		"mixed.example.com.": {public, private}, "mapped.example.com.": {netip.MustParseAddr("::ffff:10.0.0.1")}, "none.example.com.": {},
		"zone.example.com.": {netip.MustParseAddr("fe80::1%lo")},
	}})
	for _, host := range []string{"mixed.example.com", "mapped.example.com", "zone.example.com"} {
		if resp, body := r.through(t, host, "/"); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "address_denied") {
			t.Errorf("%s: %v %s", host, resp.StatusCode, body)
		}
	}
	if resp, body := r.through(t, "none.example.com", "/"); resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "name_unresolved") {
		t.Errorf("no address: %v %s", resp.StatusCode, body)
	}
	if len(r.origin.Seen()) != 0 {
		t.Error("something was sent")
	}
	if resp, _ := r.through(t, "short", "/"); resp.StatusCode != http.StatusOK {
		t.Errorf("a name of one label: %d", resp.StatusCode)
	}
	r.asked.mu.Lock()
	defer r.asked.mu.Unlock()
	want := []string{"mixed.example.com.", "mapped.example.com.", "zone.example.com.", "none.example.com.", "short."}
	if strings.Join(r.asked.names, " ") != strings.Join(want, " ") {
		t.Errorf("asked for %v, want %v", r.asked.names, want)
	}
	for _, e := range r.found(map[string]string{"error.type": "address_denied", "url.domain": "mixed.example.com"}) {
		if !strings.Contains(string(e.Line), "10.0.0.1") || !strings.Contains(string(e.Line), "127.0.0.1") {
			t.Errorf("the record does not name what was judged: %s", e.Line)
		}
	}
}

// hostile 28, 29: a name whose meaning depends on who asks is not even looked up.
func TestLocalNamesAreRefused(t *testing.T) {
	r := newRig(t, rigging{policy: "package egress\n\nallow if true\n", private: []netip.Prefix{}})
	for _, host := range []string{"db", "localhost", "a.localhost", "orders.internal", "printer.local", "api.default.svc.cluster.local", "nas.home.arpa"} {
		if resp, body := r.through(t, host, "/"); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "address_denied") {
			t.Errorf("%s: %v %s", host, resp.StatusCode, body)
		}
	}
	if len(r.asked.names) != 0 || len(r.origin.Seen()) != 0 {
		t.Errorf("asked for %v", r.asked.names)
	}
}
