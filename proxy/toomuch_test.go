package proxy_test

import (
	"bufio"
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// Refusals of bodies that are too large have nothing in common: one does not change
// what another says, whoever is refused at the same time.
func TestTooLargeAtOnce(t *testing.T) {
	r := newRig(t, rigging{policy: "package egress\n\nallow := true\n\nlimits contains {\"request_bytes\": 10}\n"})
	post := func(framing string) *http.Response {
		c := r.dial()
		fmt.Fprintf(c, "POST http://api.example.com:%d/ HTTP/1.1\r\nHost: api.example.com:%[1]d\r\n%s", r.origin.PlainPort, framing)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Error(err)
			return &http.Response{}
		}
		return resp
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			framing := "Content-Length: 11\r\n\r\nhello world"
			if i%2 == 0 {
				framing = "Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n"
			}
			if resp := post(framing); resp.StatusCode != http.StatusRequestEntityTooLarge {
				t.Error(resp)
			}
		})
	}
	wg.Wait()
}
