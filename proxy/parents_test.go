package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/dest"
	"sallyport/origin"
	"sallyport/proxy"
	"sallyport/proxy/parent"
)

// A carrier is a parent proxy that connects to loopback, whatever it is told.
type carrier struct {
	scheme, login, mode string // mode: "", refuse, hang, garbage, close
	mu                  sync.Mutex
	asked               []string
	via                 []string
}

func (c *carrier) saw() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

// start serves, and returns how it is reached.
func (c *carrier) start(t *testing.T, authority *ca) proxy.Parent {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := proxy.Parent{Scheme: c.scheme, Addr: dest.NewAddr(pattern(t, "parent.example.com").Host(), uint16(l.Addr().(*net.TCPAddr).Port))}
	if c.scheme == "https" {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*authority.issue("parent.example.com")}})
		p.TLS = settings(t, authority.pem, "", nil)
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer in.Close(); c.serve(in) }()
		}
	}()
	return p
}

func (c *carrier) serve(in net.Conn) {
	_ = in.SetDeadline(time.Now().Add(20 * time.Second))
	switch c.mode {
	case "hang":
		_, _ = io.Copy(io.Discard, in)
		return
	case "close":
		return
	case "garbage":
		_, _ = in.Read(make([]byte, 1))
		_, _ = io.WriteString(in, "SSH-2.0-x\r\n\r\n")
		return
	}
	to, ok := "", false
	if c.scheme == "socks5" {
		to, ok = c.socks(in)
	} else {
		to, ok = c.connect(in)
	}
	if !ok {
		return
	}
	_, port, _ := net.SplitHostPort(to)
	up, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		return
	}
	defer up.Close()
	go func() { _, _ = io.Copy(up, in); _ = up.(*net.TCPConn).CloseWrite() }()
	_, _ = io.Copy(in, up)
}

func (c *carrier) note(to string, via []string) {
	c.mu.Lock()
	c.asked, c.via = append(c.asked, to), via
	c.mu.Unlock()
}

func (c *carrier) connect(in net.Conn) (string, bool) {
	req, err := http.ReadRequest(bufio.NewReader(in))
	if err != nil {
		return "", false
	}
	c.note(req.Method+" "+req.RequestURI, req.Header["Via"])
	switch {
	case c.login != "" && req.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(c.login)):
		_, _ = io.WriteString(in, "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n")
		return "", false
	case c.mode == "refuse":
		_, _ = io.WriteString(in, "HTTP/1.1 403 canary-T0k3n/0123456789+abcdef\r\n\r\n")
		return "", false
	}
	_, _ = io.WriteString(in, "HTTP/1.1 103 Early\r\n\r\nHTTP/1.0 200\r\nX: y\r\n\r\n")
	return req.RequestURI, true
}

func (c *carrier) socks(in net.Conn) (string, bool) {
	b := make([]byte, 300)
	read := func(n int) []byte { _, _ = io.ReadFull(in, b[:n]); return b[:n] }
	methods := string(read(int(read(2)[1])))
	if c.login != "" {
		if !strings.Contains(methods, "\x02") {
			_, _ = in.Write([]byte{5, 0xff})
			return "", false
		}
		_, _ = in.Write([]byte{5, 2})
		user := string(read(int(read(2)[1])))
		if password := string(read(int(read(1)[0]))); user+":"+password != c.login {
			_, _ = in.Write([]byte{1, 1})
			return "", false
		}
		_, _ = in.Write([]byte{1, 0})
	} else {
		_, _ = in.Write([]byte{5, 0})
	}
	host := ""
	switch kind := read(4)[3]; kind {
	case 1:
		host = netip.AddrFrom4([4]byte(read(4))).String()
	case 4:
		host = netip.AddrFrom16([16]byte(read(16))).String()
	case 3:
		host = string(read(int(read(1)[0])))
	}
	to := net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(read(2))))
	c.note("SOCKS "+to, nil)
	if c.mode == "refuse" {
		_, _ = in.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0})
		return "", false
	}
	_, _ = in.Write([]byte{5, 0, 0, 3, 2, 'x', 'y', 0, 1})
	return to, true
}

func login(t *testing.T, s string) *parent.Login {
	t.Helper()
	l, err := parent.NewLogin(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Each kind of parent carries intercepted requests, plain ones and tunnels, and is
// told an address that was judged, or the name where it is to look that up itself.
func TestParents(t *testing.T) {
	authority := newCA(t, "parents")
	for _, scheme := range []string{"http", "https", "socks5"} {
		for _, names := range []bool{false, true} {
			t.Run(fmt.Sprint(scheme, names), func(t *testing.T) {
				c := &carrier{scheme: scheme, login: "me:pass:word"}
				p := c.start(t, authority)
				p.Login, p.Names = login(t, c.login), names
				reach := &proxy.Reach{Parents: []proxy.Parent{p}, Direct: []dest.Pattern{pattern(t, "direct.example.com")}}
				r := newRig(t, rigging{more: func(cfg *proxy.Config) { cfg.Reach = reach },
					policy: everything})
				r.gate.Update(r.sandbox, load(t, everything+"---\npackage egress.connect\n\nallow if input.destination.host == \"raw.example.com\"\n\nopaque if input.destination.host == \"raw.example.com\"\n"))
				for range 2 {
					if resp, body := r.through(t, "api.example.com", "/"); resp.StatusCode != 200 {
						t.Fatal(resp.StatusCode, body)
					}
				}
				if resp, body, err := r.get(fmt.Sprintf("api.example.com:%d", r.origin.PlainPort), "/"); err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, body, err)
				}
				raw := r.connect(fmt.Sprintf("raw.example.com:%d", r.origin.PlainPort))
				_, _ = io.WriteString(raw, "GET / HTTP/1.0\r\n\r\n")
				if b, err := io.ReadAll(raw); err != nil || !strings.Contains(string(b), "200 OK") {
					t.Errorf("a tunnel: %q %v", b, err)
				}
				_ = raw.Close()
				if resp, _ := r.through(t, "direct.example.com", "/"); resp.StatusCode != 200 {
					t.Error(resp.StatusCode)
				}
				verb := map[string]string{"http": "CONNECT", "https": "CONNECT", "socks5": "SOCKS"}[scheme]
				want := fmt.Sprintf("[%[1]s 127.0.0.1:%[2]d %[1]s 127.0.0.1:%[3]d %[1]s 127.0.0.1:%[3]d]", verb, r.origin.TLSPort, r.origin.PlainPort)
				if names {
					want = fmt.Sprintf("[%[1]s api.example.com:%[2]d %[1]s api.example.com:%[3]d %[1]s raw.example.com:%[3]d]", verb, r.origin.TLSPort, r.origin.PlainPort)
				}
				if got := fmt.Sprint(c.saw()); got != want {
					t.Errorf("it was asked %s, and not %s", got, want)
				}
				if asked := slices.Contains(r.asked.names, "api.example.com."); asked == names {
					t.Errorf("looked up: %v", r.asked.names)
				}
				e := r.found(map[string]string{"event.name": "egress.request.complete", "url.domain": "api.example.com"})
				if len(e) == 0 || e[0].Str("server.parent") != p.String() || (e[0].Str("address.judged") == "by_name") != names {
					t.Errorf("%v", e)
				}
				if e := r.found(map[string]string{"event.name": "egress.tunnel.close"}); len(e) != 1 || e[0].Str("server.parent") != p.String() {
					t.Errorf("%v", e)
				}
			})
		}
	}
}

// What a parent does wrong has a code of its own, and nothing that it says is repeated.
func TestParentsThatFail(t *testing.T) {
	authority := newCA(t, "parents")
	for _, scheme := range []string{"http", "https", "socks5"} {
		for mode, want := range map[string]string{"refuse": "502 parent_refused", "hang": "504 parent_timeout", "garbage": "502 parent_failed", "close": "502 parent_failed", "auth": "502 parent_auth", "none": "502 parent_auth", "gone": "502 parent_failed", "impostor": "502 parent_failed"} {
			if mode == "impostor" && scheme != "https" {
				continue
			}
			t.Run(scheme+" "+mode, func(t *testing.T) {
				c := &carrier{scheme: scheme, mode: mode}
				p := c.start(t, authority)
				switch mode {
				case "auth":
					c.login, p.Login = "me:right", login(t, "me:wrong")
				case "none":
					c.login = "me:right"
				case "gone":
					p.Addr = dest.NewAddr(p.Addr.Host(), 1)
				case "impostor":
					p.TLS = settings(t, newCA(t, "others").pem, "", nil)
				}
				r := newRig(t, rigging{policy: everything, more: func(cfg *proxy.Config) {
					cfg.Reach = &proxy.Reach{Parents: []proxy.Parent{p}, Timeouts: proxy.Timeouts{Parent: time.Second}}
				}})
				resp, body := r.through(t, "api.example.com", "/")
				if got := fmt.Sprint(resp.StatusCode, " ", body); !strings.HasPrefix(got, strings.Replace(want, " ", " sallyport: ", 1)) || strings.Contains(got, secret) {
					t.Errorf("%s, and not %s", got, want)
				}
				if e := r.found(map[string]string{"error.type": strings.Fields(want)[1]}); len(e) != 1 || strings.Contains(string(e[0].Line), secret) {
					t.Errorf("%v", e)
				}
				if n := len(r.origin.Seen()); n != 0 {
					t.Errorf("%d arrived", n)
				}
			})
		}
	}
}

// hostile 104: a parent is no way around what addresses are judged for: where they are
// known they are judged, literal ones always; where they are not, names that mean
// something here are refused, a policy about addresses refuses, and no credential
// goes along unless that is said.
func TestParentsAreNoWayAround(t *testing.T) {
	c := &carrier{scheme: "http"}
	p := c.start(t, nil)
	addrs := map[string][]netip.Addr{"lan.example.com.": {netip.MustParseAddr("10.0.0.1")}, "mixed.example.com.": {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("169.254.169.254")}}
	ask := func(r *rig, host string) string {
		resp, body := r.through(t, host, "/")
		return fmt.Sprint(resp.StatusCode, " ", strings.Join(strings.Fields(body + " -")[:2], " "))
	}
	r := newRig(t, rigging{policy: everything, addrs: addrs, more: func(cfg *proxy.Config) { cfg.Reach = &proxy.Reach{Parents: []proxy.Parent{p}} }})
	for _, host := range []string{"lan.example.com", "mixed.example.com", "metadata.google.internal"} {
		if got := ask(r, host); got != "403 sallyport: address_denied:" {
			t.Errorf("%s: %s", host, got)
		}
	}
	if got := c.saw(); len(got) != 0 {
		t.Fatalf("it was asked %v", got)
	}
	p.Names = true
	named := &proxy.Reach{Parents: []proxy.Parent{p}}
	r = newRig(t, rigging{addrs: addrs, private: []netip.Prefix{}, more: func(cfg *proxy.Config) { cfg.Reach = named }})
	for _, host := range []string{"metadata.google.internal", "localhost", "db", "orders.internal"} {
		if got := ask(r, host); got != "403 sallyport: address_denied:" {
			t.Errorf("%s: %s", host, got)
		}
	}
	for _, to := range []string{"10.0.0.1", "127.0.0.1", "169.254.169.254"} {
		if resp, body, err := r.get(fmt.Sprintf("%s:%d", to, r.origin.PlainPort), "/"); err != nil || resp.StatusCode != 403 || !strings.Contains(body, "address_denied") {
			t.Errorf("%s: %v %s %v", to, resp, body, err)
		}
	}
	if got := c.saw(); len(got) != 0 {
		t.Fatalf("it was asked %v", got)
	}
	// The credential is for api.example.com: it stays here, and that is recorded.
	sent := func() string { all := r.origin.Seen(); return all[len(all)-1].Header.Get("Authorization") }
	if got := ask(r, "api.example.com"); !strings.HasPrefix(got, "200") || sent() != "" {
		t.Errorf("%s, with %q", got, sent())
	}
	if e := r.found(map[string]string{"event.name": "egress.request.complete", "url.domain": "api.example.com"}); len(e) != 1 || !strings.Contains(string(e[0].Line), `"withheld"`) {
		t.Errorf("%v", e)
	}
	p.Credentials = true
	r.gate.Update(r.sandbox, guided{r.decider, &proxy.Reach{Parents: []proxy.Parent{p}}})
	if got := ask(r, "api.example.com"); !strings.HasPrefix(got, "200") || sent() != "Bearer "+secret {
		t.Errorf("%s, with %q", got, sent())
	}
	// A policy that asks about addresses is not asked about none.
	r.gate.Update(r.sandbox, guided{load(t, everything+"---\npackage egress.dial\n\ndeny contains \"lan\" if \"10.0.0.1\" in input.addresses\n"), named})
	if got := ask(r, "api.example.com"); got != "403 sallyport: address_denied:" {
		t.Error(got)
	}
}

// A parent that is the proxy itself, and a circle of two, end at the second visit.
func TestParentLoops(t *testing.T) {
	at := func(a string) dest.Addr {
		out, err := dest.ParseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	r := newRig(t, rigging{policy: everything})
	self := func(r *rig, addr string) {
		r.gate.Update(r.sandbox, guided{r.decider, &proxy.Reach{Parents: []proxy.Parent{{Scheme: "http", Addr: at(addr), Names: true}}}})
	}
	self(r, r.addr)
	if resp, body, err := r.get("api.example.com:80", "/"); err != nil || resp.StatusCode != http.StatusLoopDetected {
		t.Errorf("%v %s %v", resp, body, err)
	}
	// Each instance is the parent of the other; both open what is asked for unread.
	opaque := load(t, everything+"---\npackage egress.connect\n\nallow := true\n\nopaque := true\n")
	other := newRig(t, rigging{policy: everything})
	for r, parent := range map[*rig]string{r: other.addr, other: r.addr} {
		r.gate.Update(r.sandbox, guided{opaque, &proxy.Reach{Parents: []proxy.Parent{{Scheme: "http", Addr: at(parent), Names: true}}}})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := r.connect("api.example.com:80")
	go func() { <-ctx.Done(); _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	_, _ = io.Copy(io.Discard, c)
	if ctx.Err() != nil {
		t.Error("it does not end")
	}
	if e := r.found(map[string]string{"policy.code": "loop_detected"}); len(e) == 0 {
		t.Error("the circle is not seen")
	}
}

// A sallyport behind another: what the inner one allows, the outer one decides too.
func TestParentIsASallyport(t *testing.T) {
	outer := newRig(t, rigging{policy: "package egress\n\nallow if input.request.path == \"/both\"\n"})
	addr, err := dest.ParseAddr(outer.addr)
	if err != nil {
		t.Fatal(err)
	}
	inner := newRig(t, rigging{policy: everything, origin: origin.Options{}, more: func(c *proxy.Config) {
		c.UpstreamRoots = outer.roots // it opens TLS with leaves of its own
		c.Reach = &proxy.Reach{Parents: []proxy.Parent{{Scheme: "http", Addr: addr, Names: true}}}
	}})
	inner.origin = outer.origin
	if resp, body := inner.through(t, "api.example.com", "/both"); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body := inner.through(t, "api.example.com", "/inner"); resp.StatusCode != 403 || !strings.Contains(body, "default_deny") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if n := len(outer.origin.Seen()); n != 1 {
		t.Errorf("%d arrived", n)
	}
}
