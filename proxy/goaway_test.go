package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sallyport/origin"
)

// A proxy that ends tells clients of HTTP/2 to go, and lets what they began end: RFC
// 9113, 6.8.
func TestShutdownOverHTTP2(t *testing.T) {
	for _, way := range []string{"in TLS", "in the clear", "to the proxy"} {
		t.Run(way, func(t *testing.T) {
			release := make(chan struct{})
			r := newRig(t, rigging{origin: origin.Options{H2C: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "one\n")
				_ = http.NewResponseController(w).Flush()
				<-release
				_, _ = io.WriteString(w, "two")
			})}})
			scheme, authority := "http", fmt.Sprintf("api.example.com:%d", r.origin.PlainPort)
			var c *h2Client
			var fields []string
			switch way {
			case "in TLS":
				scheme, authority, c = "https", r.at("api.example.com"), r.h2(t, false)
			case "in the clear":
				c = r.h2(t, true)
			case "to the proxy":
				c, fields = r.h2door().frames(), []string{"proxy-authorization: Bearer " + doorToken}
			}
			_ = c.c.SetDeadline(time.Now().Add(20 * time.Second))
			id := c.begin(true, append([]string{":method: GET", ":scheme: " + scheme, ":authority: " + authority, ":path: /"}, fields...)...)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var ended chan error
			body, away, whole := "", false, false
			for {
				f, err := c.fr.ReadFrame()
				if err != nil {
					break
				}
				switch f := f.(type) {
				case *http2.DataFrame:
					if body += string(f.Data()); ended == nil {
						ended = make(chan error, 1)
						go func() { ended <- r.srv.Shutdown(ctx) }()
					}
					whole = whole || f.StreamID == id && f.StreamEnded()
				case *http2.GoAwayFrame:
					if f.ErrCode != http2.ErrCodeNo {
						t.Errorf("told to go with %v", f.ErrCode)
					}
					if !away {
						close(release)
					}
					away = true
				}
			}
			if !away {
				close(release)
				t.Fatalf("not told to go; %q came", body)
			}
			if err := <-ended; err != nil || body != "one\ntwo" || !whole {
				t.Errorf("%v, %q, whole %v", err, body, whole)
			}
		})
	}
}
