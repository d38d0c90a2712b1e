package proxy_test

import (
	"bufio"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"sallyport/proxy"
)

// hostile 367: a connection that showed nothing yet when a door began to ask for more
// is asked for that too, not only for what was asked when it came.
func TestDoorAsksWhoeverWaits(t *testing.T) {
	for _, first := range []string{"G", "\x05"} {
		r := newRig(t, rigging{})
		g, d, addr := r.door("one", proxy.Asks{Tokens: tokens(doorToken)})
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(c, first)
		time.Sleep(50 * time.Millisecond)
		g.ChangeDoor(d, proxy.Asks{Tokens: tokens(doorToken), Client: func([]*x509.Certificate) error { return errors.New("not you") }})
		if first == "G" {
			fmt.Fprintf(c, "ET http://api.example.com:%[1]d/ HTTP/1.1\r\nHost: api.example.com:%[1]d\r\nProxy-Authorization: Bearer %[2]s\r\n\r\n", r.origin.PlainPort, doorToken)
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusForbidden {
				t.Errorf("a request: %v %v", resp, err)
			}
		} else {
			_, _ = io.WriteString(c, "\x01\x02\x01\x00"+string([]byte{byte(len(doorToken))})+doorToken+asks(1, "api.example.com", r.origin.PlainPort))
			if b, _ := io.ReadAll(c); string(b) != "\x05\x02\x01\x01" {
				t.Errorf("SOCKS: %q", b)
			}
		}
		if n := len(r.origin.Seen()); n != 0 {
			t.Errorf("%d requests arrived", n)
		}
	}
}
