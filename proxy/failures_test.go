package proxy_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/audit"
)

// closedPorts are n ports of an address at which nobody listens, and which are no
// other protocol's.
func closedPorts(t *testing.T, ip string, n int) (out []int) {
	t.Helper()
	for p := 12000; len(out) < n; p++ {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", ip, p), time.Second)
		if err != nil {
			out = append(out, p)
		} else {
			_ = c.Close()
		}
	}
	return out
}

// counted waits until there are n records with these fields, and returns how many
// there are.
func (r *rig) counted(n int, fields map[string]string) (got int) {
	r.t.Helper()
	for begin := time.Now(); time.Since(begin) < 4*time.Second; time.Sleep(20 * time.Millisecond) {
		if got = len(r.found(fields)); got >= n {
			break
		}
	}
	return got
}

// hostile 106: where policy does not lead, an answer tells nothing of what is there,
// and nothing is asked or dialled to give it.
func TestErrorsAreUniform(t *testing.T) {
	var came atomic.Int64
	l, err := net.Listen("tcp", "127.0.4.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			_ = c.Close()
		}
	}()
	open := l.Addr().(*net.TCPAddr).Port
	closed := closedPorts(t, "127.0.4.1", 1)[0]
	addrs := map[string][]netip.Addr{"none.example.com.": {}}
	for n, a := range map[string]string{"open": "127.0.4.1", "closed": "127.0.4.1", "private": "10.1.2.3", "metadata": "169.254.169.254", "filtered": "192.0.2.1"} {
		addrs[n+".example.com."] = []netip.Addr{netip.MustParseAddr(a)}
	}
	r := newRig(t, rigging{addrs: addrs, policy: "package egress\n\nallow if input.destination.host == \"api.example.com\"\n"})
	id := regexp.MustCompile(`\(decision [0-9a-f-]+\)`)
	var all []string
	var took []time.Duration
	for name, at := range map[string]string{
		"open": fmt.Sprintf("open.example.com:%d", open), "closed": fmt.Sprintf("closed.example.com:%d", closed), "private": "private.example.com:8080",
		"metadata": "metadata.example.com:8080", "filtered": "filtered.example.com:8080", "no name": "none.example.com:8080", "an address": fmt.Sprintf("127.0.4.1:%d", open),
		"a closed one": fmt.Sprintf("127.0.4.1:%d", closed), "a private one": "10.1.2.3:8080",
	} {
		var times []time.Duration
		for range 9 {
			begin := time.Now()
			status, body := through(t, r.addr, "http://"+at+"/", nil)
			times = append(times, time.Since(begin))
			all = append(all, fmt.Sprint(status, " ", id.ReplaceAllString(body, "")))
			if all[len(all)-1] != all[0] {
				t.Fatalf("%s: %q, and %q elsewhere", name, all[len(all)-1], all[0])
			}
		}
		slices.Sort(times)
		took = append(took, times[4])
		// As bytes: the connection is reset, whatever is there.
		c := r.connect(at)
		_, _ = io.WriteString(c, "SSH-2.0-x\r\n")
		if b, err := io.ReadAll(c); len(b) > 0 || err == nil {
			t.Errorf("%s: %q %v", name, b, err)
		}
	}
	if !strings.HasPrefix(all[0], "403 sallyport: default_deny") || came.Load() != 0 || len(r.asked.names) != 0 {
		t.Errorf("%s; %d came, names asked for: %v", all[0], came.Load(), r.asked.names)
	}
	if slow, quick := slices.Max(took), slices.Min(took); slow > 10*quick+20*time.Millisecond {
		t.Errorf("medians from %v to %v", quick, slow)
	}
}

// hostile 106: where policy leads, what can be learned of destinations that do not
// answer is bounded for each sandbox, in HTTP and as bytes; those that answer, and
// those that are known not to, are no part of it.
func TestFailuresAreBounded(t *testing.T) {
	r := newRig(t, rigging{policy: everything})
	ports := closedPorts(t, "127.0.5.1", 320)
	count := func(addr string, ports []int) (failed, refused int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		room := make(chan struct{}, 16)
		for _, p := range ports {
			room <- struct{}{}
			wg.Go(func() {
				defer func() { <-room }()
				status, body := through(t, addr, fmt.Sprintf("http://127.0.5.1:%d/", p), nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case status == http.StatusBadGateway && strings.Contains(body, "connect_failed"):
					failed++
				case status == http.StatusTooManyRequests && strings.Contains(body, "too_many_failures"):
					refused++
				default:
					t.Errorf("%d %s", status, body)
				}
			})
		}
		wg.Wait()
		return failed, refused
	}
	begin := time.Now()
	failed, refused := count(r.addr, ports)
	if most := 128 + int(time.Since(begin)/time.Second) + 2; failed < 128 || failed > most || refused != len(ports)-failed {
		t.Errorf("%d failed of %d at most, %d were refused", failed, most, refused)
	}
	if status, body := through(t, r.addr, fmt.Sprintf("http://127.0.5.1:%d/", ports[0]), nil); status != http.StatusBadGateway {
		t.Errorf("one that is known: %d %s", status, body)
	}
	if n := r.counted(refused, map[string]string{"event.name": "egress.request.complete", "error.type": "too_many_failures"}); n != refused {
		t.Errorf("%d of %d are recorded", n, refused)
	}
	other := r.open("other")
	if f, _ := count(other, ports[:5]); f != 5 {
		t.Errorf("another sandbox: %d", f)
	}
	// What answers costs nothing, even when it is asked for for the first time.
	for i := range 200 {
		if status, body := through(t, other, fmt.Sprintf("http://n%d.example.com:%d/", i, r.origin.PlainPort), nil); status != 200 {
			t.Fatalf("%d: %d %s", i, status, body)
		}
	}
	if f, refused := count(other, ports[5:100]); f != 95 || refused != 0 {
		t.Errorf("after what answers: %d, %d", f, refused)
	}
	// As bytes.
	raw := r.open("raw")
	r.gate.Update(r.sandbox, load(t, everything+"---\npackage egress.connect\n\nallow := true\n\nopaque := true\n"))
	begin = time.Now()
	for _, p := range ports[:200] {
		c, err := net.Dial("tcp", raw)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "CONNECT 127.0.5.1:%[1]d HTTP/1.1\r\nHost: 127.0.5.1:%[1]d\r\n\r\n", p)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.ReadAll(c)
		_ = c.Close()
	}
	most := 128 + int(time.Since(begin)/time.Second) + 2
	refused = r.counted(200-most, map[string]string{"event.name": "egress.tunnel.close", "error.type": "too_many_failures"})
	failed = r.counted(128, map[string]string{"event.name": "egress.tunnel.close", "error.type": "connect_failed"})
	if failed < 128 || failed > most || failed+refused != 200 {
		t.Errorf("as bytes %d failed, %d were refused: %v", failed, refused, r.outcomes(audit.TunnelClose))
	}
}

// hostile 103, 237: an address of this machine is no more public than a private one,
// even where it is called public; when nobody can say whose it is, it is refused.
func TestOwnAddressesAreShut(t *testing.T) {
	mine := netip.MustParseAddr("203.0.114.9")
	var unknown atomic.Bool
	r := newRig(t, rigging{policy: everything, private: []netip.Prefix{netip.MustParsePrefix("203.0.114.64/26")},
		own: func(a netip.Addr) (bool, error) {
			if unknown.Load() {
				return false, errors.New("nobody knows")
			}
			return a.Unmap() == mine || a.String() == "203.0.114.65", nil
		},
		addrs: map[string][]netip.Addr{"mine.example.com.": {mine}, "mixed.example.com.": {netip.MustParseAddr("203.0.114.80"), mine},
			"nat64.example.com.": {netip.MustParseAddr("64:ff9b::203.0.114.9")}, "opened.example.com.": {netip.MustParseAddr("203.0.114.65")}}})
	for _, host := range []string{"mine.example.com", "mixed.example.com", "nat64.example.com", "203.0.114.9"} {
		if status, body := through(t, r.addr, "http://"+host+":8080/", nil); status != 403 || !strings.Contains(body, "address_denied") {
			t.Errorf("%s: %d %s", host, status, body)
		}
	}
	if n := r.counted(4, map[string]string{"event.name": "egress.request.complete", "error.type": "address_denied"}); n != 4 {
		t.Errorf("%d are recorded", n)
	}
	if e := r.found(map[string]string{"event.name": "egress.request.complete", "url.domain": "mixed.example.com"}); fmt.Sprint(e[0].Fields["address.denied"]) != "[203.0.114.9 own]" {
		t.Errorf("%v", e[0].Fields["address.denied"])
	}
	tried := func(what, want string) {
		t.Helper()
		c := r.connect(what)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+what+"\r\n\r\n")
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		b, _ := io.ReadAll(c)
		if got := strings.Contains(string(b), "address_denied"); got != (want == "denied") {
			t.Errorf("%s: %q", what, b)
		}
	}
	tried("opened.example.com:8080", "dialled")
	unknown.Store(true)
	tried("203.0.113.200:8080", "denied")
	tried("8.8.8.8:8080", "denied")
}
