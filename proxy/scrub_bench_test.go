package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"sallyport/origin"
)

// largeAnswer is a megabyte of JSON.
func largeAnswer() []byte {
	rnd := rand.New(rand.NewPCG(7, 8))
	var b bytes.Buffer
	b.WriteByte('[')
	for b.Len() < 1<<20 {
		fmt.Fprintf(&b, `{"id": %d, "node_id": "%016x", "name": "an ordinary answer", "url": "https://api.example.com/v1/items/%d", "tags": ["red", "green"], "score": %.4f},`,
			rnd.IntN(1<<30), rnd.Uint64(), rnd.IntN(1<<20), rnd.Float64())
	}
	b.WriteByte(']')
	return b.Bytes()
}

// cpuTime is the CPU time of this process.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkScrubbing is what it costs, in CPU, to search an answer of 1 MiB for ten
// secrets on its way: with and without, less what client and origin take by
// themselves, by turns in one run.
func BenchmarkScrubbing(b *testing.B) {
	body := largeAnswer()
	r := newRig(b, rigging{secrets: 9, policy: `package egress

allow if true

credentials contains "api" if input.destination.host == "api.example.com"
`, origin: origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body)
	})}})
	upstream := x509.NewCertPool()
	upstream.AppendCertsFromPEM(r.origin.CAPEM())
	direct, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.origin.TLSPort), &tls.Config{RootCAs: upstream, ServerName: "api.example.com"})
	if err != nil {
		b.Fatal(err)
	}
	ways := []struct {
		name, host string
		conn       *tls.Conn
		in         *bufio.Reader
		took       []time.Duration
	}{{name: "direct", host: "api.example.com", conn: direct}, {name: "carried", host: "other.example.com"}, {name: "searched", host: "api.example.com"}}
	for i := range ways {
		w := &ways[i]
		if w.conn == nil {
			if w.conn, err = r.tls(w.host, &tls.Config{}); err != nil {
				b.Fatal(err)
			}
		}
		_ = w.conn.SetDeadline(time.Time{})
		w.in = bufio.NewReaderSize(w.conn, 64<<10)
	}
	for b.Loop() {
		for i := range ways {
			w := &ways[i]
			before := cpuTime(b)
			for range 20 {
				fmt.Fprintf(w.conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", r.at(w.host))
				resp, err := http.ReadResponse(w.in, nil)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); n != int64(len(body)) || err != nil {
					b.Fatal(n, err)
				}
			}
			w.took = append(w.took, (cpuTime(b)-before)/20)
		}
	}
	for i := range ways {
		slices.Sort(ways[i].took)
	}
	mid := func(i int) float64 { return float64(ways[i].took[len(ways[i].took)/2].Microseconds()) }
	b.ReportMetric(mid(0), "direct-µs")
	b.ReportMetric(mid(1)-mid(0), "carried-µs")
	b.ReportMetric(mid(2)-mid(0), "searched-µs")
	b.ReportMetric((mid(2)-mid(0))/(mid(1)-mid(0)), "ratio")
	b.ReportMetric(0, "ns/op")
}
