package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/dest"
	"sallyport/proxy"
	"sallyport/sandbox"
)

// transparent serves a gate on an address as if it were every destination there.
func (r *rig) transparent(g *proxy.Gate, at string) *net.TCPAddr {
	r.t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		r.t.Fatal(err)
	}
	go func() { _ = g.ServeTransparent(l) }()
	return l.Addr().(*net.TCPAddr)
}

// relay passes bytes on, so that a connection comes back from another address. It
// returns how many it has passed.
func relay(t *testing.T, from, to string) (passed func() int) {
	t.Helper()
	l, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	count := make(chan int, 1)
	count <- 0
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			count <- 1 + <-count
			go func() {
				defer c.Close()
				up, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer up.Close()
				go func() { _, _ = io.Copy(up, c); _ = up.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(c, up)
			}()
		}
	}()
	return func() int { n := <-count; count <- n; return n }
}

// through asks for a URL through an explicit proxy.
func through(t *testing.T, proxyAddr, target string, header http.Header) (int, string) {
	t.Helper()
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxyAddr}), DisableKeepAlives: true}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// hostile 102: whatever leads back into sallyport ends at its second visit, in 508.
func TestLoops(t *testing.T) {
	addrs := map[string][]netip.Addr{}
	at := func(host, ip string) { addrs[host+".example.com."] = []netip.Addr{netip.MustParseAddr(ip)} }
	at("self", "127.0.0.1")
	at("hairpin", "127.0.2.2")
	at("other", "127.0.2.3")
	at("second", "127.0.2.4")
	r := newRig(t, rigging{policy: everything, addrs: addrs})
	me := r.transparent(r.gate, "127.0.0.1:0")
	port := fmt.Sprint(me.Port)
	explicit := r.addr
	neighbour := r.open("neighbour")
	theirs := r.transparent(r.gate, "127.0.0.1:0")
	bound := &sandbox.Sandbox{ID: sandbox.NewID(), Name: "bound", Mode: sandbox.Enforce, Policy: []string{"test"}}
	host, err := dest.ParseHost("self.internal")
	if err != nil {
		t.Fatal(err)
	}
	bound.Bindings = []sandbox.Binding{{Host: host, Port: 80, Target: dest.NewAddr(dest.HostFromAddr(netip.MustParseAddr("127.0.0.1")), uint16(me.Port)), TargetScheme: "http"}}
	bg := r.srv.Open(bound, r.decider, nil)
	bl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = bg.ServeExplicit(bl) }()
	hops := relay(t, "127.0.2.2:"+port, me.String())
	otherHops := relay(t, fmt.Sprintf("127.0.2.3:%d", theirs.Port), theirs.String())

	// A second instance, whose "second" is the first.
	back := map[string][]netip.Addr{"second.example.com.": {netip.MustParseAddr("127.0.2.5")}}
	r2 := newRig(t, rigging{policy: everything, addrs: back})
	r2.transparent(r2.gate, "127.0.2.4:"+port)
	secondHops := relay(t, "127.0.2.5:"+port, me.String())

	before := openFiles(t)
	for name, c := range map[string]struct{ by, url string }{
		"its own explicit proxy":          {explicit, "http://" + explicit + "/"},
		"its own explicit proxy, by name": {explicit, "http://self.example.com:" + strings.TrimPrefix(explicit, "127.0.0.1:") + "/"},
		"its own transparent socket":      {explicit, "http://self.example.com:" + port + "/"},
		"another sandbox's proxy":         {explicit, "http://" + neighbour + "/"},
		"another sandbox's socket":        {explicit, fmt.Sprintf("http://127.0.0.1:%d/", theirs.Port)},
		"a hairpin":                       {explicit, "http://hairpin.example.com:" + port + "/"},
		"a hairpin to another sandbox":    {explicit, fmt.Sprintf("http://other.example.com:%d/", theirs.Port)},
		"a binding to itself":             {bl.Addr().String(), "http://self.internal/"},
		"two in a circle":                 {explicit, "http://second.example.com:" + port + "/"},
	} {
		if status, body := through(t, c.by, c.url, nil); status != http.StatusLoopDetected || !strings.Contains(body, "loop_detected") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if hops() != 1 || otherHops() != 1 || secondHops() != 1 {
		t.Errorf("%d, %d and %d times around", hops(), otherHops(), secondHops())
	}
	if n := r.counted(3, map[string]string{"policy.code": "loop_detected"}); n != 3 {
		t.Errorf("%d refusals are recorded", n)
	}
	for range 2000 {
		if openFiles(t) <= before+8 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := openFiles(t); n > before+8 {
		t.Errorf("%d descriptors are left of %d", n, before)
	}
}

// hostile 235: what a sandbox says in Via neither hides a loop nor makes one for
// anybody else, and what upstreams read there tells them nothing.
func TestVia(t *testing.T) {
	r := newRig(t, rigging{policy: everything})
	target := fmt.Sprintf("http://api.example.com:%d/echo", r.origin.PlainPort)
	seen := func() string {
		all := r.origin.Seen()
		return strings.Join(all[len(all)-1].Header["Via"], " | ")
	}
	marks := map[string]bool{}
	for range 20 {
		if status, body := through(t, r.addr, target, nil); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		v := seen()
		if len(v) != len("1.1 sallyport-")+32 || !strings.HasPrefix(v, "1.1 sallyport-") || marks[v] {
			t.Fatalf("%q", v)
		}
		marks[v] = true
	}
	mark := seen()
	foreign := "1.1 sallyport-" + strings.Repeat("ab", 16)
	for name, c := range map[string]struct {
		via    []string
		status int
		passed string // before our own
	}{
		"another proxy's":      {[]string{"1.1 squid (x)", "1.0 fred"}, 200, ""},
		"another sallyport's":  {[]string{"1.1 squid, " + foreign}, 200, foreign + ", "},
		"of no such form":      {[]string{"1.1 sallyport-xyz", "sallyport-" + strings.Repeat("ab", 16), ",, ,", "1.1 sallyport-" + strings.Repeat("ab", 17)}, 200, ""},
		"replayed":             {[]string{mark}, 508, ""},
		"replayed, in a list":  {[]string{"1.1 squid, " + strings.ToUpper(mark) + " (comment)"}, 508, ""},
		"as many as there are": {[]string{strings.TrimSuffix(strings.Repeat(foreign+", ", 8), ", ")}, 200, strings.Repeat(foreign+", ", 8)},
		"too many":             {[]string{strings.Repeat(foreign+", ", 9)}, 508, ""},
	} {
		status, body := through(t, r.addr, target, http.Header{"Via": c.via})
		if status != c.status {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if rest, ok := strings.CutPrefix(seen(), c.passed); status == 200 && (!ok || len(rest) != len(mark)) {
			t.Errorf("%s: passed on as %q", name, seen())
		}
	}
	if status, body := through(t, r.addr, target, nil); status != 200 { // nobody else is refused for it
		t.Errorf("%d %s", status, body)
	}
}

// reset connects to where every connection is reset, which may show while connecting.
func reset(t *testing.T, addr string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err = io.WriteString(c, "HELO\r\n"); err == nil { // an error is told once
			_, err = io.ReadAll(c)
		}
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("it ended by %v", err)
	}
}

// elsewhere is a socket that is given what was sent to other addresses.
type elsewhere struct{ *net.TCPListener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// hostile 236: bytes that lead back carry no mark. Where the proxy itself is named
// nothing is dialled; what comes back through somebody else's relay ends at the
// bound of the sandbox.
func TestLoopsOfTunnels(t *testing.T) {
	const most = 24
	r := newRig(t, rigging{conns: most, policy: everything})
	r.gate.Update(r.sandbox, load(t, everything+"---\npackage egress.connect\n\nallow := true\n\nopaque := true\n"))
	me := r.transparent(r.gate, "127.0.0.1:0")
	before := openFiles(t)
	reset(t, me.String())
	if n := len(r.found(map[string]string{"event.name": "egress.tunnel.close", "error.type": "loop_detected"})); n != 1 {
		t.Errorf("%d loops are recorded", n)
	}
	// As behind TPROXY: the socket has another address than what was dialled.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = r.gate.ServeTransparent(elsewhere{l.(*net.TCPListener)}) }()
	reset(t, l.Addr().String())
	if n := r.counted(2, map[string]string{"event.name": "egress.tunnel.close", "error.type": "loop_detected"}); n != 2 {
		t.Errorf("%d loops are recorded", n)
	}
	around := relay(t, fmt.Sprintf("127.0.2.8:%d", me.Port), r.addr)
	p := r.dial()
	for range 2 * most { // each CONNECT inside the one before
		fmt.Fprintf(p, "CONNECT 127.0.2.8:%[1]d HTTP/1.1\r\nHost: 127.0.2.8:%[1]d\r\n\r\n", me.Port)
	}
	_, _ = io.Copy(io.Discard, p)
	if n := around(); n == 0 || n > most {
		t.Errorf("%d times around", n)
	}
	_ = p.Close()
	for range 2000 {
		if openFiles(t) <= before+8 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d descriptors are left of %d", openFiles(t), before)
}
