package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/proxy/ws"
)

// hostile 364: what an origin says beside its switch does not change what is recorded
// of the WebSocket's messages.
func TestSwitchesDoNotHideMessages(t *testing.T) {
	r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Type: application/grpc\r\nSec-WebSocket-Accept: "+ws.Accept(r.Header.Get("Sec-Websocket-Key"))+"\r\n\r\n")
		echoes(&socket{c: c, r: ws.NewReader(rw, ws.Client, ws.Limits{}), w: ws.NewWriter(c, ws.Server)})
	})}})
	s := r.websocket(t, inTLS, "other.example.com")
	s.send(ws.Text, "hello")
	_, _ = s.next()
	_ = s.w.Close(4001, "")
	_, _ = s.end()
	e := r.found(map[string]string{"event.of": s.resp.Header.Get("Sallyport-Decision"), "event.name": string(audit.RequestComplete)})
	if len(e) != 1 || e[0].Int("messages.client_in") != 1 || e[0].Int("messages.client_out") != 1 || e[0].Int("websocket.close_code") != 4001 {
		t.Error(e)
	}
}

// hostile 369: a limit that came with the answer stays when something changes that
// says nothing of it.
func TestLimitsOfAnswersStay(t *testing.T) {
	text := noSecret + "---\npackage egress.response\n\nlimits contains {\"response_bytes\": 10}\n"
	r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(echoes)}})
	r.gate.Update(r.sandbox, load(t, text))
	s := r.websocket(t, inTLS, "other.example.com")
	sb := *r.sandbox
	sb.Labels = map[string]string{"team": "another"}
	r.gate.Update(&sb, load(t, text))
	s.send(ws.Text, "eleven bytes")
	if code, reason := s.end(); code != ws.TooBig {
		t.Errorf("ended by %d %q", code, reason)
	}
}

// hostile 368: the rest of a message does not pass when messages have come to be
// judged; the next is judged as any.
func TestSocketsThatBeganUnjudged(t *testing.T) {
	h := &heard{}
	r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(h.serve)}})
	s := r.websocket(t, inTLS, "other.example.com")
	_ = s.w.Write(ws.Piece{Op: ws.Text, First: true, Payload: []byte(`{"cmd": `)})
	s.send(ws.Ping, "")
	if op, text := s.next(); op != ws.Pong {
		t.Fatal(op, text)
	}
	r.gate.Update(r.sandbox, load(t, judging))
	_ = s.w.Write(ws.Piece{Op: ws.Text, Last: true, Payload: []byte(`"shell"}`)})
	if code, reason := s.end(); code != ws.Policy || !strings.HasPrefix(reason, "sallyport: uncertain: ") {
		t.Errorf("ended by %d %q", code, reason)
	}
	_ = s.w.Close(ws.Normal, "")
	if kind, _, _ := s.ended(r); kind != "uncertain" {
		t.Errorf("recorded as %s", kind)
	}
	for _, m := range h.said() {
		if strings.Contains(m, "shell") {
			t.Errorf("the origin heard %q", m)
		}
	}
}

// hostile 363: a WebSocket ends with its sandbox's gate, also when its origin takes
// nothing, so that what it is told cannot be passed on.
func TestSocketsEndWithTheirGate(t *testing.T) {
	stuck := make(chan struct{})
	r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(func(*socket) { <-stuck })}})
	defer close(stuck)
	s := r.websocket(t, inTLS, "other.example.com")
	_ = s.c.SetWriteDeadline(time.Now().Add(2 * time.Second))
	for s.w.Write(ws.Piece{Op: ws.Binary, First: true, Last: true, Payload: make([]byte, 32<<10)}) == nil {
	}
	r.gate.Close()
	e := r.found(map[string]string{"event.of": s.resp.Header.Get("Sallyport-Decision"), "event.name": string(audit.RequestComplete)})
	if len(e) != 1 || e[0].Str("error.type") != "client_gone" {
		t.Errorf("recorded as %s", e)
	}
}
