package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// hostile 365: sandboxes that have as much looked at as they may, and go on asking,
// leave room for others: what is refused holds nothing, and the more there are, the
// less each may have.
func TestInspectionIsNotStarved(t *testing.T) {
	const unit = 8 * 1000 // memory of one body
	r := newRig(t, rigging{inspect: 40 * unit, policy: "package egress\n\nallow if input.request.body.x == 1\n"})
	body := `{"x":1,"pad":"` + strings.Repeat("a", 1000-16) + `"}`
	begin := func(addr string) net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(c, "POST http://api.example.com:%d/ HTTP/1.1\r\nHost: api.example.com:%[1]d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", r.origin.PlainPort, len(body), body[:500])
		return c
	}
	for i := range 8 { // twice as many as have a fourth each
		addr := r.open(fmt.Sprint("greedy ", i))
		for range 12 {
			begin(addr)
		}
	}
	time.Sleep(300 * time.Millisecond)
	addr := r.open("another")
	for i := range 3 {
		c := begin(addr)
		_, _ = io.WriteString(c, body[500:])
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%d: %v %v", i, resp, err)
		}
	}
}
