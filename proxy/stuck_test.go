package proxy_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sallyport/proxy"
)

// hostile 136: an answer inside a tunnel of HTTP/2 for which its client gives no window is
// not waited for, and another tunnel of the connection goes on.
func TestStuckInAStream(t *testing.T) {
	r := newRig(t, rigging{policy: stalls, more: func(c *proxy.Config) { c.TunnelIdle = 700 * time.Millisecond }})
	d := r.h2door()
	c := d.frames()
	at := fmt.Sprintf("api.example.com:%d", r.origin.PlainPort)
	_ = c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
	get := []byte("GET /refused HTTP/1.1\r\nHost: " + at + "\r\n\r\n")
	var ids []uint32
	for range 2 {
		id := c.begin(false, ":method: CONNECT", ":authority: "+at, "proxy-authorization: Bearer "+doorToken)
		_ = c.fr.WriteData(id, false, get)
		ids = append(ids, id)
	}
	_ = c.fr.WriteWindowUpdate(ids[1], 1<<20)
	said := ""
	for reset := false; !reset || len(said) < 100; {
		f, err := c.fr.ReadFrame()
		if err != nil {
			t.Fatalf("reset: %v, beside it %q: %v", reset, said, err)
		}
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			if f.StreamID != ids[0] {
				t.Errorf("stream %d is reset: %v", f.StreamID, f.ErrCode)
			}
			reset = true
		case *http2.DataFrame:
			if f.StreamID == ids[1] {
				said += string(f.Data())
			}
		}
	}
}
