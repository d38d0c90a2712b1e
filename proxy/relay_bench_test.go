package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/origin"
	"sallyport/proxy/ws"
)

// BenchmarkSocketMessages is what a message and its echo take, beside the same
// without a proxy: as it is, and searched for a secret.
func BenchmarkSocketMessages(b *testing.B) {
	for name, c := range map[string]struct{ policy, host string }{
		"carried":  {noSecret, "other.example.com"},
		"searched": {allowSockets, "api.example.com"},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, rigging{policy: c.policy, origin: origin.Options{Handler: sockets(echoes)}})
			through, direct := r.websocket(b, inTLS, c.host), r.direct(b, c.host)
			text := strings.Repeat("x", 1000) + "\n"
			took := map[*socket][]time.Duration{}
			for b.Loop() {
				for _, s := range []*socket{direct, through} {
					at := time.Now()
					s.send(ws.Text, text)
					if _, got := s.next(); got != text {
						b.Fatal(got)
					}
					took[s] = append(took[s], time.Since(at))
				}
			}
			for s, what := range map[*socket]string{direct: "direct", through: "through"} {
				slices.Sort(took[s])
				b.ReportMetric(float64(took[s][len(took[s])/2].Microseconds()), what+"-µs-p50")
				b.ReportMetric(float64(took[s][len(took[s])*99/100].Microseconds()), what+"-µs-p99")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkIdleSockets is what a WebSocket holds in which nothing is said: memory of
// both ends, the proxy and the test.
func BenchmarkIdleSockets(b *testing.B) {
	for b.Loop() {
		const n = 500
		r := newRig(b, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(func(s *socket) { _ = s.c.SetDeadline(time.Time{}); _, _ = s.end() })}})
		measure := func(open func()) float64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			before := m.HeapInuse + m.StackInuse
			for range n {
				open()
			}
			runtime.GC()
			runtime.ReadMemStats(&m)
			return float64(m.HeapInuse+m.StackInuse-before) / n
		}
		direct := measure(func() { r.direct(b, "other.example.com") })
		through := measure(func() { r.websocket(b, inTLS, "other.example.com") })
		b.ReportMetric(through-direct, "B/socket")
	}
}

// direct is a WebSocket to the origin itself.
func (r *rig) direct(t testing.TB, host string) *socket {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.origin.CAPEM())
	c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.origin.TLSPort), &tls.Config{RootCAs: roots, ServerName: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	s := r.shake(t, c, "/ws", r.at(host), "")
	if s.resp.StatusCode != 101 {
		t.Fatal(s.resp.Status)
	}
	return s
}
