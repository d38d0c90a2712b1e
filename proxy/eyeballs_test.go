package proxy_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/proxy"
)

// deaf is an address that lets connections wait without end.
func deaf(t *testing.T, ip string, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(ip).As4()}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 4 { // until nobody is taken any more
		c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", ip, port), 100*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Fatal("its queue does not fill up")
}

// RFC 8305: an address that does not answer holds nobody up for long, one that refuses
// not at all; families alternate; each was judged before the first is dialled, and the
// record says which it was.
func TestHappyEyeballs(t *testing.T) {
	ip := netip.MustParseAddr
	var six atomic.Int64
	r := newRig(t, rigging{policy: everything, private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, addrs: map[string][]netip.Addr{
		"slow.example.com.": {ip("127.0.9.1"), ip("127.0.9.2"), ip("127.0.0.1")},
		"shut.example.com.": {ip("127.0.9.3"), ip("::1"), ip("127.0.0.1")},
		"both.example.com.": {ip("127.0.9.1"), ip("127.0.9.2"), ip("127.0.9.4"), ip("127.0.0.1"), ip("::1")},
		"bad.example.com.":  {ip("::1"), ip("127.0.0.1"), ip("10.0.0.1")},
	}})
	port := r.origin.PlainPort
	deaf(t, "127.0.9.1", port)
	deaf(t, "127.0.9.2", port)
	peer := func(host string) string {
		resp, body, err := r.get(fmt.Sprintf("%s:%d", host, port), "/")
		if err != nil {
			t.Fatal(err)
		}
		e := r.found(map[string]string{"event.name": "egress.request.complete", "url.domain": host})
		if len(e) != 1 {
			t.Fatalf("%d records of %s: %d %s", len(e), host, resp.StatusCode, body)
		}
		return fmt.Sprint(resp.StatusCode, " ", e[0].Str("network.peer.address"))
	}
	began := time.Now()
	if got := peer("slow.example.com"); got != "200 127.0.0.1" {
		t.Error(got)
	}
	if took := time.Since(began); took < 400*time.Millisecond || took > 8*time.Second {
		t.Errorf("two that do not answer cost %v", took)
	}
	if got := peer("shut.example.com"); got != "200 127.0.0.1" {
		t.Error(got)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("[::1]:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { six.Add(1) })}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	if got := peer("both.example.com"); got != "200 ::1" || six.Load() != 1 { // the second of its list of five
		t.Errorf("%s, %d", got, six.Load())
	}
	if resp, _, err := r.get(fmt.Sprintf("bad.example.com:%d", port), "/"); err != nil || resp.StatusCode != 403 || six.Load() != 1 {
		t.Errorf("%v %v, %d arrived", resp, err, six.Load())
	}
}

// A mute resolver never answers.
type mute struct{}

func (mute) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// hostile 137, before there is a connection: a name server and an address that say
// nothing, each with its code.
func TestStagesOfDialling(t *testing.T) {
	short := proxy.Timeouts{Resolve: 500 * time.Millisecond, Connect: 500 * time.Millisecond}
	r := newRig(t, rigging{policy: everything, more: func(c *proxy.Config) { c.Reach = &proxy.Reach{Timeouts: short} }})
	port := r.origin.PlainPort
	deaf(t, "127.0.9.5", port)
	for host, want := range map[string]string{"127.0.9.5": "connect_timeout", "www.example.com": "resolve_timeout"} {
		if want == "resolve_timeout" {
			r.gate.Update(r.sandbox, guided{r.decider, &proxy.Reach{Timeouts: short, Resolver: mute{}}})
		}
		resp, body, err := r.get(fmt.Sprintf("%s:%d", host, port), "/")
		if err != nil || resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(body, want) {
			t.Errorf("%v %s %v, and not %s", resp, body, err, want)
		}
		if e := r.found(map[string]string{"error.type": want}); len(e) != 1 {
			t.Errorf("%d records say %s", len(e), want)
		}
	}
}
