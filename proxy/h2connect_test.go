package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sallyport/origin"
)

// hostile 68: inside what was opened, CONNECT over HTTP/2 opens nothing, and that with
// a protocol (RFC 8441) is neither offered nor taken.
func TestHTTP2ConnectInside(t *testing.T) {
	for scheme, clear := range map[string]bool{"https": false, "http": true} {
		t.Run(scheme, func(t *testing.T) {
			r := newRig(t, rigging{origin: origin.Options{H2C: true}, policy: allowAll + "\nwebsocket if true\n"})
			inner := fmt.Sprintf("inner.example.com:%d", r.origin.PlainPort)
			for name, c := range map[string]struct {
				fields []string
				want   string
			}{
				"CONNECT":          {[]string{":method: CONNECT", ":authority: " + inner}, "405 method_denied"},
				"CONNECT, a body":  {[]string{":method: CONNECT", ":authority: " + inner, "content-length: 3"}, "405 method_denied"},
				"with a protocol":  {[]string{":method: CONNECT", ":protocol: websocket", ":scheme: " + scheme, ":authority: " + inner, ":path: /"}, "reset"},
				"with a path":      {[]string{":method: CONNECT", ":authority: " + inner, ":path: /"}, "reset"},
				"with a scheme":    {[]string{":method: CONNECT", ":scheme: " + scheme, ":authority: " + inner}, "reset"},
				"without anything": {[]string{":method: CONNECT"}, "reset"},
			} {
				h := r.h2(t, clear)
				_ = h.c.SetDeadline(time.Now().Add(5 * time.Second))
				if h.offers(http2.SettingEnableConnectProtocol) {
					t.Error("extended CONNECT is offered")
				}
				a := h.send(c.fields, nil, nil)
				got := a.status + " " + a.body
				if a.reset {
					got = "reset"
				}
				want, code, _ := strings.Cut(c.want, " ")
				if !strings.HasPrefix(got, want) || !strings.Contains(got, code) {
					t.Errorf("%s: %+v, want %s", name, a, c.want)
				}
			}
			if len(r.asked.names) != 0 || len(r.origin.Seen()) != 0 {
				t.Errorf("%v were looked up, %d requests arrived", r.asked.names, len(r.origin.Seen()))
			}
			if n := r.counted(2, map[string]string{"policy.code": "method_denied", "http.request.method": "CONNECT"}); n != 2 {
				t.Errorf("%d records of CONNECT", n)
			}
		})
	}
}

// offers reads the settings of the other side, which come first, and reports whether
// one is on.
func (c *h2Client) offers(id http2.SettingID) bool {
	c.t.Helper()
	f, err := c.fr.ReadFrame()
	if err != nil {
		c.t.Fatal(err)
	}
	s, ok := f.(*http2.SettingsFrame)
	if !ok {
		c.t.Fatalf("%v came first", f)
	}
	_ = c.fr.WriteSettingsAck()
	v, _ := s.Value(id)
	return v != 0
}
