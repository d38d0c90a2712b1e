package proxy_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"sallyport/sandbox"
)

// hostile 370: tunnels of one connection count as connections do, and their places
// are given back.
func TestHTTP2DoorIsLimited(t *testing.T) {
	r := newRig(t, rigging{policy: opaqueAll})
	d := r.h2door()
	sb := *d.gate.Sandbox()
	sb.Limits = sandbox.Limits{Connections: 4}
	d.gate.Update(&sb, d.decider)
	at := fmt.Sprintf("api.example.com:%d", upstream(t, echo))
	for round := range 3 {
		var open []*streamed
		for i := range 5 {
			s := d.connect(at, doorToken)
			open = append(open, s)
			want := http.StatusOK
			if i >= 3 { // the connection is one
				want = http.StatusTooManyRequests
			}
			if s.resp.StatusCode != want {
				t.Errorf("round %d: tunnel %d is answered %s", round, i, s.resp.Status)
			}
		}
		for i, s := range open {
			if i%2 == 0 {
				s.reset()
			}
			_ = s.Close()
		}
		if n := r.counted(3*(round+1), map[string]string{"event.name": "egress.tunnel.close"}); n != 3*(round+1) {
			t.Fatalf("%d tunnels ended", n)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
