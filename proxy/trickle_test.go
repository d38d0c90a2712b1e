package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/origin"
	"sallyport/proxy"
)

// hostile 390: a byte now and then holds no request for longer than its client is waited
// for; what comes slowly, and messages, of which there may be few, pass for as long as they do.
func TestTricklingBodies(t *testing.T) {
	const idle = 1500 * time.Millisecond
	r := newRig(t, rigging{policy: "package egress\n\nallow if true\n", more: func(c *proxy.Config) { c.TunnelIdle = idle }, origin: origin.Options{Handler: http.HandlerFunc(taking)}})
	for name, c := range map[string]struct {
		kind  string
		piece string
		want  string
	}{
		"a byte":   {"text/plain", "x", "408 sallyport: client_stalled"},
		"slowly":   {"text/plain", strings.Repeat("x", 2048), "200 \x00"},
		"messages": {"application/grpc", "\x00\x00\x00\x00\x00", "200 \x00"},
	} {
		for _, h2 := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", h2 ", h2), func(t *testing.T) {
				t.Parallel()
				in, out := io.Pipe()
				go func() {
					for began := time.Now(); time.Since(began) < 3*idle; time.Sleep(100 * time.Millisecond) {
						if _, err := io.WriteString(out, c.piece); err != nil {
							return
						}
					}
					_ = out.Close()
				}()
				req, _ := http.NewRequest(http.MethodPost, "https://"+r.at("api.example.com")+"/a.B/c", in)
				req.Header.Set("Content-Type", c.kind)
				began := time.Now()
				resp, err := r.client(t, h2).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				if got := fmt.Sprint(resp.StatusCode, " ", string(b)); !strings.HasPrefix(got, c.want) {
					t.Errorf("after %v: %.80q, want %s", time.Since(began), got, c.want)
				}
			})
		}
	}
}
