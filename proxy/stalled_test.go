package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/proxy"
)

// begin writes the head of a request, which ends there or goes on.
func (c *h2Client) begin(ends bool, fields ...string) uint32 {
	id := c.id
	c.id += 2
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range fields {
		i := strings.Index(f[1:], ":") + 1
		_ = e.WriteField(hpack.HeaderField{Name: f[:i], Value: strings.TrimPrefix(f[i+1:], " ")})
	}
	_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: ends})
	return id
}

// answer reads on until a stream ends.
func (c *h2Client) answer(id uint32) (a h2Answer) {
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			a.reset = true
			return a
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == id && a.status == "" {
				a.status = f.PseudoValue("status")
			}
			if f.StreamID == id && f.StreamEnded() {
				return a
			}
		case *http2.DataFrame:
			if f.StreamID == id {
				a.body += string(f.Data())
				if f.StreamEnded() {
					return a
				}
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				a.reset = f.ErrCode != http2.ErrCodeNo
				return a
			}
		}
	}
}

const stalls = `package egress

allow if input.request.path in {"/streamed", "/large", "/small"}

respond := {"status": 200, "body": "ours"} if input.request.path == "/respond"
`

// impatient waits for clients as long as tests can.
func impatient(c *proxy.Config) {
	c.TunnelIdle = 700 * time.Millisecond
	c.Patience = proxy.Patience{Inspect: 500 * time.Millisecond, Leave: 500 * time.Millisecond, Handshake: time.Second, Keep: time.Second}
}

// taking is an origin that reads what comes and says much.
func taking(w http.ResponseWriter, r *http.Request) {
	n := 1000
	if r.URL.Path == "/large" {
		n = 64 << 20
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.CopyN(w, endlessly{}, int64(n))
}

// hostile 370: a client that stops in the middle of a body is answered, and its
// connection or stream ends, whoever waits for the rest: policy, the origin, or nobody.
func TestStalledBodies(t *testing.T) {
	o := origin.Options{Handler: http.HandlerFunc(taking)}
	unread := newRig(t, rigging{policy: stalls, more: impatient, origin: o})
	read := newRig(t, rigging{policy: "package egress\n\nallow if input.request.body.x == 1\n", more: impatient, origin: o})
	for path, want := range map[string]string{
		"/inspected": "408 sallyport: client_stalled",
		"/streamed":  "408 sallyport: client_stalled",
		"/refused":   "403 sallyport: default_deny",
		"/respond":   "200 ours",
		"/a/../b":    "400 sallyport: path_invalid",
	} {
		r := unread
		if path == "/inspected" {
			r = read
		}
		at := r.at("api.example.com")
		for _, framing := range []string{"Content-Length: 4000", "Transfer-Encoding: chunked"} {
			c, err := r.tls("api.example.com", &tls.Config{})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%s\r\n\r\n", path, at, framing)
			if path != "/refused" {
				_, _ = io.WriteString(c, "800\r\n{\"x\":1,")
			}
			br := bufio.NewReader(c)
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Errorf("%s %s: %v", path, framing, err)
				continue
			}
			b, _ := io.ReadAll(resp.Body)
			if got := fmt.Sprint(resp.StatusCode, " ", string(b)); !strings.HasPrefix(got, want) {
				t.Errorf("%s %s: %s, want %s", path, framing, got, want)
			}
			if _, err := br.ReadByte(); errors.Is(err, net.ErrClosed) || err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("%s %s: the connection stays: %v", path, framing, err)
			}
		}
		c := r.h2(t, false)
		id := c.begin(false, ":method: POST", ":scheme: https", ":authority: "+at, ":path: "+path, "content-type: application/json")
		_ = c.fr.WriteData(id, false, []byte(`{"x":1,`))
		if a := c.answer(id); !strings.HasPrefix(a.status+" "+a.body, want) {
			t.Errorf("%s over h2: %+v, want %s", path, a, want)
		}
	}
	if got := len(unread.found(map[string]string{"error.type": "client_stalled", "event.name": string(audit.RequestComplete)})); got != 3 {
		t.Errorf("%d outcomes say so", got)
	}
}

// hostile 136: a client that takes nothing of an answer is given up over HTTP/2 as
// over HTTP/1, however much of it is left, and whoever said it.
func TestAnswersNotTaken(t *testing.T) {
	r := newRig(t, rigging{policy: stalls, more: impatient, origin: origin.Options{Handler: http.HandlerFunc(taking)}})
	at := r.at("api.example.com")
	for _, path := range []string{"/large", "/small", "/refused", "/respond"} {
		c := r.h2(t, false)
		_ = c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
		id := c.begin(true, ":method: GET", ":scheme: https", ":authority: "+at, ":path: "+path)
		if a := c.answer(id); a.status == "" || len(a.body) > 3 || !a.reset {
			t.Errorf("%s: %+v", path, a)
		}
		id = c.begin(true, ":method: GET", ":scheme: https", ":authority: "+at, ":path: /small") // beside it nothing ends
		_ = c.fr.WriteWindowUpdate(id, 1<<20)
		if a := c.answer(id); a.status != "200" || len(a.body) != 1000 {
			t.Errorf("after %s: %+v", path, a)
		}
	}
	c, err := r.tls("api.example.com", &tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET /large HTTP/1.1\r\nHost: %s\r\n\r\n", at)
	until := time.Now().Add(10 * time.Second)
	var got []string
	for time.Now().Before(until) {
		if got = r.outcomes(audit.RequestComplete); strings.Count(strings.Join(got, " "), "client_stalled") == 2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if strings.Count(strings.Join(got, " "), "client_stalled") != 2 {
		t.Errorf("outcomes: %q", got)
	}
}
