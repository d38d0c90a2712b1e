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

// hostile 239: bodies that policy reads are bounded together, and a sandbox has a
// part of that only; what ended gives its part back.
func TestInspectedBodiesAreBounded(t *testing.T) {
	r := newRig(t, rigging{inspect: 4 * 2 * 8 * 1000, policy: "package egress\n\nallow if input.request.body.x == 1\n"})
	body := `{"x":1,"pad":"` + strings.Repeat("a", 1000-16) + `"}`
	begin := func(addr string, part int) net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(c, "POST http://api.example.com:%d/ HTTP/1.1\r\nHost: api.example.com:%[1]d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", r.origin.PlainPort, len(body), body[:part])
		return c
	}
	end := func(c net.Conn) (int, string) {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0, err.Error()
		}
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	first := r.addr
	held := []net.Conn{begin(first, 500), begin(first, 500)}
	time.Sleep(200 * time.Millisecond)
	if status, text := end(begin(first, len(body))); status != http.StatusServiceUnavailable || !strings.Contains(text, "too_much_to_inspect") {
		t.Errorf("a third: %d %s", status, text)
	}
	second := r.open("second")
	if status, text := end(begin(second, len(body))); status != 200 {
		t.Errorf("another sandbox: %d %s", status, text)
	}
	for _, c := range held {
		_, _ = io.WriteString(c, body[500:])
		if status, text := end(c); status != 200 {
			t.Errorf("one that was held: %d %s", status, text)
		}
	}
	for i := range 20 {
		if status, text := end(begin(first, len(body))); status != 200 {
			t.Fatalf("%d afterwards: %d %s", i, status, text)
		}
	}
	for range 5 { // all together, of whoever
		addr := r.open("one of many")
		begin(addr, 500)
		begin(addr, 500)
	}
	time.Sleep(200 * time.Millisecond)
	if status, text := end(begin(second, len(body))); status != http.StatusServiceUnavailable {
		t.Errorf("beyond all: %d %s", status, text)
	}
	if n := r.counted(2, map[string]string{"policy.code": "too_much_to_inspect"}); n < 2 {
		t.Errorf("%d refusals are recorded", n)
	}
}

// hostile 239: a body is charged for what it comes to, which is many times its size
// when its values are short.
func TestInspectedBodiesAreWeighed(t *testing.T) {
	r := newRig(t, rigging{inspect: 4 << 20, policy: "package egress\n\nallow if input.request.body.x == 1\n"})
	for pad, want := range map[string]int{`"` + strings.Repeat("a", 30_000) + `"`: 200, `[` + strings.Repeat(`{"":0},`, 4_285) + `1]`: 503} {
		req, err := http.NewRequest("POST", "https://"+r.at("api.example.com")+"/", strings.NewReader(`{"x":1,"pad":`+pad+`}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if s := r.send(t, false, req); s.status != want {
			t.Errorf("%.20s…: %d, want %d", pad, s.status, want)
		}
	}
}
