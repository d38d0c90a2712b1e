package proxy_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/proxy/ws"
)

const judging = noSecret + `---
package egress.message

deny contains {"code": "no_shell", "public": "shells are closed", "operator": "runbook 9"} if {
	input.message.direction == "to_origin"
	input.message.kind == "text"
	input.message.body.cmd == "shell"
}

deny contains "too_long" if {
	input.message.direction == "to_client"
	input.message.size > 100
}

deny contains "not_here" if {
	input.message.direction == "to_origin"
	input.message.kind == "binary"
	input.destination.protocol == "websocket"
	input.request.path == "/ws"
	input.sandbox.name != "test"
}
`

// A heard keeps what an origin was told.
type heard struct {
	mu    sync.Mutex
	all   []string
	close string
}

func (h *heard) serve(s *socket) {
	for {
		op, text := s.next()
		h.mu.Lock()
		switch {
		case op == 0 || op == ws.Close:
			h.close = text
			h.mu.Unlock()
			_ = s.w.Close(ws.Normal, "")
			return
		case op == ws.Ping:
			s.send(ws.Pong, text)
		default:
			if n, ok := strings.CutPrefix(text, `{"say":`); ok {
				k := 0
				_, _ = fmt.Sscan(n, &k)
				_ = s.w.Write(ws.Piece{Op: ws.Binary, First: true, Payload: make([]byte, k/2)})
				_ = s.w.Write(ws.Piece{Op: ws.Binary, Last: true, Payload: make([]byte, k-k/2)})
			}
		}
		h.all = append(h.all, text)
		h.mu.Unlock()
	}
}

func (h *heard) said() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.all...)
}

// Policy judges messages of both directions before the other side sees a byte of
// them. One that it denies ends the connection on both sides, with its reason.
func TestMessagesAreJudged(t *testing.T) {
	long := `{"cmd": "` + strings.Repeat("x", 70<<10) + `"}`
	for name, c := range map[string]struct {
		op    ws.Opcode
		parts []string
		code  string // "" passes
	}{
		"allowed":                  {ws.Text, []string{`{"cmd": "ls"}`}, ""},
		"denied":                   {ws.Text, []string{`{"cmd": "shell"}`}, "no_shell"},
		"denied, escaped":          {ws.Text, []string{`{"cmd": "\u0073hell"}`}, "no_shell"},
		"denied, in fragments":     {ws.Text, []string{`{"cmd`, ``, `": "she`, `ll"}`}, "no_shell"},
		"allowed, in fragments":    {ws.Text, []string{`{"cmd`, `": "she`, `lf"}`}, ""},
		"another shape":            {ws.Text, []string{`["shell"]`}, ""},
		"no JSON":                  {ws.Text, []string{`shell`}, "uncertain"},
		"two values":               {ws.Text, []string{`{"cmd": "ls"} {"cmd": "shell"}`}, "uncertain"},
		"a name twice":             {ws.Text, []string{`{"cmd": "ls", "cmd": "shell"}`}, "uncertain"},
		"too long to be seen":      {ws.Text, []string{long}, "uncertain"},
		"too long, in fragments":   {ws.Text, []string{long[:40<<10], long[40<<10:]}, "uncertain"},
		"binary":                   {ws.Binary, []string{`{"cmd": "shell"}`}, ""},
		"empty":                    {ws.Text, []string{""}, ""},
		"the answer is as long":    {ws.Text, []string{`{"say":100}`}, ""},
		"the answer is too long":   {ws.Text, []string{`{"say":101}`}, "too_long"},
		"the answer is a megabyte": {ws.Text, []string{`{"say":1000000}`}, "uncertain"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &heard{}
			r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(h.serve)}})
			r.gate.Update(r.sandbox, load(t, judging))
			s := r.websocket(t, inTLS, "other.example.com")
			for i, p := range c.parts {
				_ = s.w.Write(ws.Piece{Op: c.op, First: i == 0, Last: i == len(c.parts)-1, Payload: []byte(p)})
			}
			message := strings.Join(c.parts, "")
			if c.code == "" {
				s.send(ws.Ping, "done")
				for op, text := s.next(); op != ws.Pong || text != "done"; op, text = s.next() {
					if op == 0 || op == ws.Close {
						t.Errorf("%s: ended by %q", name, text)
						break
					}
				}
				if got := h.said(); len(got) == 0 || got[0] != message {
					t.Errorf("%s: the origin heard %q", name, got)
				}
				_ = s.c.Close()
				return
			}
			code, reason := s.end()
			_ = s.w.Close(ws.Normal, "")
			e := r.found(map[string]string{"event.name": string(audit.MessageDecision)})
			if len(e) != 1 || e[0].Str("policy.code") != c.code || e[0].Str("policy.phase") != "message" || e[0].Str("event.of") != s.resp.Header.Get("Sallyport-Decision") {
				t.Fatalf("%s: %s; ended by %d %q", name, e, code, reason)
			}
			if code != ws.Policy || !strings.HasPrefix(reason, "sallyport: "+c.code+": ") || !strings.HasSuffix(reason, " (decision "+e[0].Str("event.id")+")") {
				t.Errorf("%s: ended by %d %q", name, code, reason)
			}
			if end := r.found(map[string]string{"event.name": string(audit.RequestComplete), "error.type": c.code, "websocket.closed_by": "proxy", "websocket.close_code": "1008"}); len(end) != 1 {
				t.Errorf("%s: no such outcome", name)
			}
			if got := h.said(); len(got) != 0 && got[0] == message && !strings.HasPrefix(name, "the answer") {
				t.Errorf("%s: the origin heard %q", name, got)
			}
			h.mu.Lock()
			if code, told, _ := ws.ParseClose([]byte(h.close)); code != ws.Policy || told != reason {
				t.Errorf("%s: the origin was told %d %q", name, code, told)
			}
			h.mu.Unlock()
		})
	}
}

// hostile 300: what pings, pongs and closes carry is judged by nobody, so it does
// not get by where messages are judged.
func TestControlFramesCarryNothing(t *testing.T) {
	seen := make(chan string, 10)
	r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(func(s *socket) {
		s.send(ws.Pong, "smuggled in")
		for {
			op, text := s.next()
			if op == ws.Ping {
				s.send(ws.Pong, text)
				s.send(ws.Pong, text)
			}
			seen <- fmt.Sprint(op, " ", text)
			if op == ws.Close || op == 0 {
				_ = s.w.Close(4000, "smuggled in")
				return
			}
		}
	})}})
	r.gate.Update(r.sandbox, load(t, judging))
	s := r.websocket(t, inTLS, "other.example.com")
	s.send(ws.Pong, "smuggled out")
	s.send(ws.Ping, "smuggled out")
	if op, text := s.next(); op != ws.Pong || text != "smuggled out" {
		t.Errorf("the answer to a ping: %v %q", op, text)
	}
	_ = s.w.Close(4000, "smuggled out")
	if code, reason := s.end(); code != 4000 || reason != "" {
		t.Errorf("ended by %d %q", code, reason)
	}
	close(seen)
	for got := range seen {
		if strings.Contains(got, "smuggled") {
			t.Errorf("the origin saw %q", got)
		}
	}
}

// hostile 305: messages that are begun and not ended, so that they are held back,
// take no more memory than there is for that; it is given back when they end.
func TestHeldMessagesAreBounded(t *testing.T) {
	h := &heard{}
	r := newRig(t, rigging{policy: noSecret, inspect: 2 << 20, origin: origin.Options{Handler: sockets(h.serve)}})
	r.gate.Update(r.sandbox, load(t, judging))
	begin := func() *socket {
		s := r.websocket(t, inTLS, "other.example.com")
		_ = s.w.Write(ws.Piece{Op: ws.Text, First: true, Payload: []byte(`"` + strings.Repeat("x", 40<<10))})
		s.send(ws.Ping, "") // what was sent before has been taken when it is answered
		if op, text := s.next(); op != ws.Pong {
			t.Fatal(op, text)
		}
		return s
	}
	first := begin()
	second := r.websocket(t, inTLS, "other.example.com")
	_ = second.w.Write(ws.Piece{Op: ws.Text, First: true, Payload: []byte(`"` + strings.Repeat("x", 40<<10))})
	code, reason := second.end()
	_ = second.w.Close(ws.Normal, "")
	if code != ws.TryLater || !strings.HasPrefix(reason, "sallyport: too_much_to_inspect: ") {
		t.Errorf("ended by %d %q", code, reason)
	}
	_ = first.w.Write(ws.Piece{Op: ws.Text, Last: true, Payload: []byte(`"`)})
	first.send(ws.Ping, "")
	if op, text := first.next(); op != ws.Pong || len(h.said()) != 3 || len(h.said()[1]) != 40<<10+2 {
		t.Errorf("%v %q, and %d were heard", op, text, len(h.said()))
	}
	if kind, _, _ := second.ended(r); kind != "too_much_to_inspect" {
		t.Errorf("recorded as %s", kind)
	}
	third := begin()
	_ = third.c.Close()
}
