package proxy_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/sandbox"
)

// A sandbox has only so many requests under way; one that ends makes room.
func TestRequestsAreBounded(t *testing.T) {
	r := newRig(t, rigging{policy: everything, requests: 2, origin: origin.Options{Handler: http.HandlerFunc(endless), HTTP1: true}})
	var open []*http.Response
	ask := func() int {
		t.Helper()
		resp, err := r.client(t, false).Get("https://" + r.at("api.example.com") + "/")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
		return resp.StatusCode
	}
	defer func() {
		for _, resp := range open {
			_ = resp.Body.Close()
		}
	}()
	if a, b, c := ask(), ask(), ask(); a != 200 || b != 200 || c != http.StatusTooManyRequests {
		t.Fatalf("answered %d, %d and %d", a, b, c)
	}
	if open[2].Header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
	_ = open[0].Body.Close()
	for range 100 {
		if ask() == 200 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("a request that ended makes no room")
}

// hostile 156: a flood of one kind hides none of another.
func TestFloodsAreApart(t *testing.T) {
	r := newRig(t, rigging{})
	for i := range 6000 {
		r.gate.Refused(audit.Packet{Transport: "udp", Dest: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 9)})
	}
	r.gate.Asked(audit.DNS{Question: "told.example.", Type: "TXT", Rcode: "NOERROR", Transport: "udp"})
	r.gate.Close()
	if err := r.audit.Close(); err != nil {
		t.Fatal(err)
	}
	told, over := 0, ""
	if err := audit.Tail(context.Background(), r.log, audit.TailOptions{}, func(e audit.Entry) error {
		if e.Str("dns.question.name") == "told.example." {
			told++
		}
		if e.Str("event.name") == string(audit.DenySummary) && e.Str("detail.why") != "" {
			over += fmt.Sprint(e.Str("detail.of"), " ", e.Int("event.count"))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if told != 1 || over != "egress.packet.refused 1904" {
		t.Errorf("told %d times, over %q", told, over)
	}
}

// hostile 215: a sandbox's own limits hold, from when they are set, and for it
// alone.
func TestLimitsOfOneSandbox(t *testing.T) {
	r := newRig(t, rigging{policy: everything, origin: origin.Options{Handler: http.HandlerFunc(endless), HTTP1: true}})
	box, gate, addr := *r.sandbox, r.gate, r.addr
	set := func(l sandbox.Limits) { box.Limits = l; now := box; gate.Update(&now, r.decider) }
	ask := func(at string) (int, string, func()) {
		t.Helper()
		r.addr = at
		resp, err := r.client(t, false).Get("https://" + r.at("api.example.com") + "/")
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
			t.Error("it does not say when to try again")
		}
		return resp.StatusCode, resp.Header.Get("Sallyport-Decision"), func() { _ = resp.Body.Close() }
	}
	_, _, end := ask(addr)
	defer end()
	set(sandbox.Limits{Requests: 1})
	code, id, _ := ask(addr)
	if code != http.StatusTooManyRequests || len(r.found(map[string]string{"event.id": id, "policy.code": "too_many_requests"})) != 1 {
		t.Errorf("%d over the new limit", code)
	}
	other := r.open("other")
	if code, _, end := ask(other); code != 200 {
		t.Errorf("%d for another sandbox", code)
	} else {
		defer end()
	}
	set(sandbox.Limits{Requests: 2})
	if code, _, end := ask(addr); code != 200 {
		t.Errorf("%d under the raised limit", code)
	} else {
		defer end()
	}
	set(sandbox.Limits{Rate: 3})
	begin, passed, refused := time.Now(), 0, 0
	for range 20 {
		code, id, end := ask(addr)
		defer end()
		if code == 200 {
			passed++
		} else if refused++; refused == 1 && len(r.found(map[string]string{"event.id": id, "policy.code": "rate_exceeded"})) != 1 {
			t.Error("no record says why")
		}
	}
	if most := 3 * (int(time.Since(begin)/time.Second) + 2); passed < 3 || passed > most || refused == 0 {
		t.Errorf("%d passed and %d did not, in %v", passed, refused, time.Since(begin))
	}
	set(sandbox.Limits{Connections: 1}) // more are open
	r.addr = addr
	if c, err := net.Dial("tcp", addr); err == nil { // it may be reset before that is known
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("a connection over the limit is served: %v", err)
		}
		_ = c.Close()
	}
	if len(r.found(map[string]string{"policy.code": "too_many_connections"})) == 0 {
		t.Error("no record says so")
	}
	set(sandbox.Limits{})
	if code, _, end := ask(addr); code != 200 {
		t.Errorf("%d with the default", code)
	} else {
		defer end()
	}
	if conns, requests := r.srv.UnderWay(); conns < 3 || requests < 3 {
		t.Errorf("%d connections and %d requests are said to be under way", conns, requests)
	}
}
