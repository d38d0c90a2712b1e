package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/proxy/ws"
)

const goodHandshake = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

// hostile 66: what is no handshake of a WebSocket is refused, and nothing behind
// it is read.
func TestHandshakes(t *testing.T) {
	r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(echoes)}})
	for name, c := range map[string]struct {
		fields string
		want   string
	}{
		"as it must be":       {goodHandshake, "101 "},
		"another version":     {strings.Replace(goodHandshake, "13", "8", 1), "400 websocket_invalid"},
		"no version":          {strings.Replace(goodHandshake, "Sec-WebSocket-Version: 13\r\n", "", 1), "400 websocket_invalid"},
		"no key":              {strings.Replace(goodHandshake, "Key: AAAAAAAAAAAAAAAAAAAAAA==", "Key:", 1), "400 websocket_invalid"},
		"a short key":         {strings.Replace(goodHandshake, "AAAAAAAAAAAAAAAAAAAAAA==", "AAAA", 1), "400 websocket_invalid"},
		"two keys":            {goodHandshake + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", "400 websocket_invalid"},
		"an answer":           {goodHandshake + "Sec-WebSocket-Accept: x\r\n", "400 websocket_invalid"},
		"a protocol twice":    {goodHandshake + "Sec-WebSocket-Protocol: a, a\r\n", "400 websocket_invalid"},
		"no name":             {goodHandshake + "Sec-WebSocket-Protocol: a b\r\n", "400 websocket_invalid"},
		"a body":              {goodHandshake + "Content-Length: 5\r\n", "400 websocket_invalid"},
		"a chunked body":      {goodHandshake + "Transfer-Encoding: chunked\r\n", "400 websocket_invalid"},
		"not for this hop":    {strings.Replace(goodHandshake, "Connection: Upgrade", "Connection: keep-alive", 1), "501 upgrade_denied"},
		"nearly for this hop": {strings.Replace(goodHandshake, "Connection: Upgrade", "Connection: notupgrade", 1), "501 upgrade_denied"},
		"something else":      {strings.Replace(goodHandshake, "websocket\r", "tcp\r", 1), "501 upgrade_denied"},
		"something else too":  {strings.Replace(goodHandshake, "websocket\r", "websocket, tcp\r", 1), "501 upgrade_denied"},
		"twice":               {goodHandshake + "Upgrade: tcp\r\n", "501 upgrade_denied"},
	} {
		before := len(r.origin.Seen())
		s := r.handshake(t, inTLS, "other.example.com", c.fields)
		status, code, _ := strings.Cut(c.want, " ")
		b := []byte{}
		if s.resp.StatusCode != 101 {
			b, _ = io.ReadAll(s.resp.Body)
			if !s.resp.Close {
				t.Errorf("%s: the connection goes on", name)
			}
		}
		if got := fmt.Sprint(s.resp.StatusCode); got != status || !strings.Contains(string(b), code) {
			t.Errorf("%s: %s %s, want %s", name, s.resp.Status, b, c.want)
		}
		if len(r.origin.Seen()) > before {
			t.Errorf("%s: the origin saw it", name)
		}
	}
	for _, line := range []string{"POST /ws HTTP/1.1", "GET /ws HTTP/1.0"} {
		c := r.connect(fmt.Sprintf("other.example.com:%d", r.origin.PlainPort))
		fmt.Fprintf(c, "%s\r\nHost: other.example.com:%d\r\n%s\r\n", line, r.origin.PlainPort, goodHandshake)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 400 {
			t.Errorf("%s: %v %v", line, resp, err)
		}
	}
}

// hostile 67: a WebSocket begins as a GET, and a rule that allows a GET does not
// allow one.
func TestWebSocketsAreGranted(t *testing.T) {
	r := newRig(t, rigging{policy: "package egress\n\nallow if input.request.method == \"GET\"\n\nwebsocket if input.request.path == \"/ws\"\n" +
		"\nallow if input.destination.protocol == \"websocket\"\n\ndeny contains \"not_there\" if input.request.headers[\"x-deny\"]\n", origin: origin.Options{Handler: sockets(echoes)}})
	r.websocket(t, inTLS, "other.example.com")
	if s := r.handshake(t, inTLS, "other.example.com", "X-Deny: 1\r\n"+goodHandshake); s.resp.StatusCode != 403 {
		t.Errorf("what is denied: %v", s.resp)
	}
	r = newRig(t, rigging{policy: everything, origin: origin.Options{Handler: sockets(echoes)}})
	s := r.handshake(t, inTLS, "other.example.com", "")
	b, _ := io.ReadAll(s.resp.Body)
	if s.resp.StatusCode != 403 || !strings.Contains(string(b), "default_deny: no rule allows a WebSocket here") {
		t.Errorf("without a grant: %v %s", s.resp, b)
	}
	if e := r.found(map[string]string{"event.name": string(audit.RequestDecision)}); len(e) != 1 || e[0].Str("policy.decision") != "deny" || !strings.Contains(e[0].Str("policy.operator"), "websocket if") {
		t.Errorf("%s", e)
	}
}

// hostile 66: an upstream that does not answer a handshake as it must gets no
// tunnel. What is an ordinary answer is given as one, and nothing behind it.
func TestSwitches(t *testing.T) {
	accept := func(r *http.Request) string {
		return "Sec-WebSocket-Accept: " + ws.Accept(r.Header.Get("Sec-Websocket-Key")) + "\r\n"
	}
	const switching = "HTTP/1.1 101 Switching Protocols\r\n"
	for name, c := range map[string]struct {
		answer func(*http.Request) string
		want   string
	}{
		"as it must be": {func(r *http.Request) string {
			return switching + "Upgrade: WebSocket\r\nConnection: upgrade\r\n" + accept(r)
		}, "101 "},
		"a 103 first": {func(r *http.Request) string {
			return "HTTP/1.1 103 Early Hints\r\n\r\n" + switching + "Upgrade: WebSocket\r\nConnection: upgrade\r\n" + accept(r)
		}, "101 "},
		"without Upgrade":    {func(r *http.Request) string { return switching + "Connection: upgrade\r\n" + accept(r) }, "502 upstream_malformed"},
		"to another":         {func(r *http.Request) string { return switching + "Upgrade: tcp\r\nConnection: upgrade\r\n" + accept(r) }, "502 upstream_malformed"},
		"without Connection": {func(r *http.Request) string { return switching + "Upgrade: websocket\r\n" + accept(r) }, "502 upstream_malformed"},
		"without Accept":     {func(*http.Request) string { return switching + "Upgrade: websocket\r\nConnection: upgrade\r\n" }, "502 upstream_malformed"},
		"with another's": {func(*http.Request) string {
			return switching + "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: " + ws.Accept("AAAAAAAAAAAAAAAAAAAAAA==") + "\r\n"
		}, "502 upstream_malformed"},
		"an extension not offered": {func(r *http.Request) string {
			return switching + "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" + accept(r)
		}, "502 upstream_malformed"},
		"a protocol not offered": {func(r *http.Request) string {
			return switching + "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Protocol: x\r\n" + accept(r)
		}, "502 upstream_malformed"},
		"a 200 that wants to": {func(r *http.Request) string {
			return "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 3\r\n" + accept(r)
		}, "200 yes"},
		"a refusal": {func(*http.Request) string {
			return "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n"
		}, "403 no"},
		"a refusal without an end": {func(*http.Request) string { return "HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\n" }, "426 yes"},
		"two answers for one": {func(*http.Request) string {
			return "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nyes" + switching
		}, "404 yes"},
	} {
		r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, c.answer(r)+"\r\nyes")
			_ = conn.Close()
		})}})
		s := r.handshake(t, inTLS, "other.example.com", "")
		status, text, _ := strings.Cut(c.want, " ")
		b := []byte{}
		if s.resp.StatusCode != 101 {
			b, _ = io.ReadAll(s.resp.Body)
		}
		if got := fmt.Sprint(s.resp.StatusCode); got != status || !strings.Contains(string(b), text) || s.resp.StatusCode == 200 && string(b) != text {
			t.Errorf("%s: %s %q, want %s", name, s.resp.Status, b, c.want)
		}
		if s.resp.StatusCode != 101 && (s.resp.Header.Get("Upgrade") != "" || !s.resp.Close) {
			t.Errorf("%s: %v", name, s.resp.Header)
		}
	}
	// What asked for nothing is switched to nothing: TestHostileOrigin.
}

// hostile 62: what a client sends before it is answered belongs to nobody.
func TestEarlyFrames(t *testing.T) {
	arrived := make(chan string, 1)
	r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(func(s *socket) {
		_, text := s.next()
		arrived <- text
	})}})
	c := r.connect(fmt.Sprintf("other.example.com:%d", r.origin.PlainPort))
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: other.example.com:%d\r\n%s\r\n", r.origin.PlainPort, goodHandshake)
	_ = ws.NewWriter(c, ws.Client).Write(ws.Piece{Op: ws.Text, First: true, Last: true, Payload: []byte("early")})
	time.Sleep(50 * time.Millisecond)
	_ = c.Close()
	select {
	case text := <-arrived:
		if text == "early" {
			t.Error("the origin read it")
		}
	case <-time.After(100 * time.Millisecond):
	}
}
