package h1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// hostile 39: bytes that no request of HTTP/1 begins with are answered at once, though
// no line of them has ended: on a new connection and behind a request.
func TestFirstByte(t *testing.T) {
	addr := serve(t)
	for _, before := range []string{"", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
		for _, said := range []string{"\x16\x03\x01", "\x00", "\x05\x01\x00", " GET", "\xff", "(", "{"} {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			br := bufio.NewReader(c)
			answer := func(send string) (int, string) {
				_, _ = io.WriteString(c, send)
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					return 0, err.Error()
				}
				b, _ := io.ReadAll(resp.Body)
				return resp.StatusCode, string(b)
			}
			if before != "" {
				if status, text := answer(before); status != 200 {
					t.Errorf("%q: %d %s", before, status, text)
				}
			}
			if status, text := answer(said); status != 400 || !strings.HasPrefix(text, "line_invalid") {
				t.Errorf("%q after %q: %d %s", said, before, status, text)
			}
			_ = c.Close()
		}
	}
}
