package proxy_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/origin"
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
