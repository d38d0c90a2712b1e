package proxy_test

import (
	"bytes"
	"io"
	"testing"

	"golang.org/x/net/http2"
)

// hostile 138: frames that carry nothing end a connection of HTTP/2 to the explicit
// proxy, too. What strangers send leaves the sandbox what it may send.
func TestFrameFloodsAtDoors(t *testing.T) {
	r := newRig(t, rigging{})
	d := r.h2door()
	flood := func(c *h2Client) {
		t.Helper()
		var out bytes.Buffer
		f := http2.NewFramer(&out, nil)
		for range 30_000 {
			_ = f.WriteWindowUpdate(0, 1)
		}
		_, err := c.c.Write(out.Bytes())
		if err == nil {
			_, err = io.Copy(io.Discard, c.c)
		}
		if isTimeout(err) {
			t.Fatal("the flood goes on")
		}
	}
	is := func(n int) {
		t.Helper()
		if got := r.found(map[string]string{"policy.code": "http2_flood"}); len(got) != n {
			t.Errorf("%d records, want %d", len(got), n)
		}
	}
	flood(d.frames())
	is(1)
	connect := []string{":method: CONNECT", ":authority: " + r.at("api.example.com"), "proxy-authorization: Bearer " + doorToken}
	c := d.frames()
	if a := c.send(connect, nil, nil); a.status != "200" {
		t.Fatalf("%+v", a)
	}
	for range 9000 { // of the sandbox's room
		_ = c.fr.WriteWindowUpdate(0, 1)
	}
	if a := c.send(connect, nil, nil); a.status != "200" {
		t.Errorf("after what is not too much: %+v", a)
	}
	flood(c)
}
