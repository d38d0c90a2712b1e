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

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/proxy/ws"
)

const allowSockets = `package egress

allow := true

websocket := true

credentials contains "api" if input.destination.host == "api.example.com"
`

// noSecret allows the same without asking for a credential.
const noSecret = "package egress\n\nallow := true\n\nwebsocket := true\n"

// A socket is a WebSocket that writes what a test says.
type socket struct {
	t    testing.TB
	c    net.Conn
	r    *ws.Reader
	w    *ws.Writer
	resp *http.Response
	part bytes.Buffer // of a message
}

// A way is how a client reaches the proxy.
type way string

const (
	inTLS   way = "CONNECT and TLS"
	inPlain way = "CONNECT"
	byProxy way = "a proxy request"
)

// handshake sends one, with fields on top of what it needs, and reads the answer.
func (r *rig) handshake(t testing.TB, w way, host, fields string) *socket {
	t.Helper()
	var c net.Conn
	target := "/ws"
	at := fmt.Sprintf("%s:%d", host, r.origin.PlainPort)
	switch w {
	case inTLS:
		at = r.at(host)
		tc, err := r.tls(host, &tls.Config{})
		if err != nil {
			t.Fatal(err)
		}
		c = tc
	case inPlain:
		c = r.connect(at)
	case byProxy:
		c, target = r.dial(), "http://"+at+target
	}
	return r.shake(t, c, target, at, fields)
}

// shake is a handshake on a connection.
func (r *rig) shake(t testing.TB, c net.Conn, target, at, fields string) *socket {
	t.Helper()
	key := ws.NewKey()
	whole := !strings.Contains(fields, "Upgrade")
	if whole {
		fields += "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, at, fields)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodGet})
	for err == nil && resp.StatusCode == http.StatusEarlyHints {
		resp, err = http.ReadResponse(br, &http.Request{Method: http.MethodGet})
	}
	if err != nil {
		t.Fatal(err)
	}
	if whole && resp.StatusCode == http.StatusSwitchingProtocols && resp.Header.Get("Sec-Websocket-Accept") != ws.Accept(key) {
		t.Fatalf("the key is not answered: %v", resp.Header)
	}
	return &socket{t: t, c: c, r: ws.NewReader(br, ws.Server, ws.Limits{}), w: ws.NewWriter(c, ws.Client), resp: resp}
}

// open is a handshake that must be answered by a switch.
func (r *rig) websocket(t testing.TB, w way, host string) *socket {
	t.Helper()
	s := r.handshake(t, w, host, "")
	if s.resp.StatusCode != http.StatusSwitchingProtocols {
		b, _ := io.ReadAll(s.resp.Body)
		t.Fatalf("%s: %s %s", w, s.resp.Status, b)
	}
	return s
}

func (s *socket) send(op ws.Opcode, text string) {
	_ = s.w.Write(ws.Piece{Op: op, First: true, Last: true, Payload: []byte(text)})
}

// next returns the next message or control frame; "cut" when the connection ended
// without a close.
func (s *socket) next() (ws.Opcode, string) {
	for {
		p, err := s.r.Next()
		switch {
		case err != nil:
			return 0, fmt.Sprint("cut: ", err)
		case p.Op.Control():
			return p.Op, string(p.Payload)
		}
		s.part.Write(p.Payload)
		if p.Last {
			defer s.part.Reset()
			return p.Op, s.part.String()
		}
	}
}

// end reads up to the close and returns its code and reason; 0 means that there
// was none.
func (s *socket) end() (int, string) {
	for {
		op, text := s.next()
		switch op {
		case 0:
			return 0, text
		case ws.Close:
			code, reason, _ := ws.ParseClose([]byte(text))
			return code, reason
		}
	}
}

// sockets answers handshakes and hands the connection over.
func sockets(serve func(s *socket)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Sec-Websocket-Key")
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + ws.Accept(key) + "\r\nX-Echo: " + r.Header.Get("Authorization") + "\r\n"
		if ps := r.Header.Get("Sec-Websocket-Protocol"); ps != "" {
			p, _, _ := strings.Cut(ps, ",")
			head += "Sec-WebSocket-Protocol: " + p + "\r\n"
		}
		_, _ = io.WriteString(c, head+"\r\n")
		serve(&socket{c: c, r: ws.NewReader(rw, ws.Client, ws.Limits{}), w: ws.NewWriter(c, ws.Server), resp: &http.Response{Header: r.Header}})
	})
}

// echoes says what it is told, answers pings, and returns a close.
func echoes(s *socket) {
	for {
		p, err := s.r.Next()
		if err != nil {
			return
		}
		if p.Op == ws.Ping {
			p.Op = ws.Pong
		}
		if s.w.Write(p) != nil || p.Op == ws.Close {
			return
		}
	}
}

// A WebSocket goes through by every way, with all that it can carry, and its end
// is told as it was said.
func TestWebSocket(t *testing.T) {
	for policy, host := range map[string]string{allowSockets: "api.example.com", noSecret: "other.example.com"} {
		r := newRig(t, rigging{policy: policy, origin: origin.Options{Handler: sockets(echoes)}})
		for _, w := range []way{inTLS, inPlain, byProxy} {
			if policy == allowSockets && w != inTLS { // no credential without TLS
				continue
			}
			s := r.handshake(t, w, host, "Sec-WebSocket-Protocol: chat, other\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"+
				"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
			if got := s.resp.Header; s.resp.StatusCode != 101 || got.Get("Sec-Websocket-Protocol") != "chat" || got.Get("Sec-Websocket-Accept") != ws.Accept("AAAAAAAAAAAAAAAAAAAAAA==") ||
				got.Get("Sec-Websocket-Extensions") != "" || strings.Contains(got.Get("X-Echo"), secret) || got.Get("Sallyport-Decision") == "" {
				t.Fatalf("%s: %v", w, s.resp)
			}
			for _, m := range []struct {
				op   ws.Opcode
				text string
			}{
				{ws.Text, "hello"}, {ws.Text, "grüße 🚪"}, {ws.Binary, "\x00\xff\xfe"}, {ws.Text, ""}, {ws.Binary, ""}, {ws.Ping, "are you there"}, {ws.Ping, ""},
				{ws.Text, strings.Repeat("ä", 100_000)}, {ws.Binary, strings.Repeat("\x00x", 200_000)},
			} {
				s.send(m.op, m.text)
				want := m.op
				if m.op == ws.Ping {
					want = ws.Pong
				}
				if op, got := s.next(); op != want || got != m.text {
					t.Fatalf("%s: %v of %d bytes came back as %v of %d: %.60q", w, m.op, len(m.text), op, len(got), got)
				}
			}
			// In fragments, with a ping between them.
			_ = s.w.Write(ws.Piece{Op: ws.Text, First: true, Payload: []byte("a\xc3")})
			s.send(ws.Ping, "x")
			_ = s.w.Write(ws.Piece{Op: ws.Text, Payload: []byte("\xa4b")})
			_ = s.w.Write(ws.Piece{Op: ws.Text, Last: true})
			var got []string
			for range 2 {
				_, text := s.next()
				got = append(got, text)
			}
			if got := strings.Join(got, " "); got != "x aäb" && got != "aäb x" {
				t.Errorf("%s: in fragments: %q", w, got)
			}
			_ = s.w.Close(4001, "done here")
			if code, reason := s.end(); code != 4001 || reason != "done here" {
				t.Errorf("%s: ended by %d %q", w, code, reason)
			}
			if _, err := s.c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("%s: after the close: %v", w, err)
			}
			if d := r.found(map[string]string{"event.id": s.resp.Header.Get("Sallyport-Decision"), "network.protocol.name": "websocket"}); len(d) != 1 {
				t.Errorf("%s: the decision does not say what was asked for", w)
			}
			e := r.found(map[string]string{"event.of": s.resp.Header.Get("Sallyport-Decision"), "event.name": string(audit.RequestComplete)})
			if len(e) != 1 || e[0].Str("event.outcome") != "success" || e[0].Int("messages.client_in") != 8 || e[0].Int("messages.client_out") != 8 || e[0].Int("websocket.close_code") != 4001 ||
				e[0].Str("websocket.closed_by") != "client" || e[0].Int("http.response.status_code") != 101 || e[0].Int("bytes.client_in") != e[0].Int("bytes.client_out") || e[0].Int("bytes.client_in") < 500_000 {
				t.Errorf("%s: %s", w, e)
			}
		}
		for range 200 {
			if conns, requests := r.srv.UnderWay(); conns+requests == 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if conns, requests := r.srv.UnderWay(); conns+requests != 0 {
			t.Errorf("%d connections and %d requests are left", conns, requests)
		}
	}
}
