package proxy_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/proxy"
	"sallyport/proxy/ws"
	"sallyport/sandbox"
)

// ended is how a WebSocket ended by the records.
func (s *socket) ended(r *rig) (kind string, code int64, by string) {
	e := r.found(map[string]string{"event.of": s.resp.Header.Get("Sallyport-Decision"), "event.name": string(audit.RequestComplete)})
	if len(e) != 1 {
		return fmt.Sprint(e), 0, ""
	}
	return e[0].Str("error.type"), e[0].Int("websocket.close_code"), e[0].Str("websocket.closed_by")
}

// hostile 142: frames that may not be, from either side, end the WebSocket: who
// sent them is told why, the other that it is over, and sees nothing of them.
func TestViolations(t *testing.T) {
	masked := func(first byte, payload string) string {
		return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
	}
	bare := func(first byte, payload string) string {
		return string([]byte{first, byte(len(payload))}) + payload
	}
	huge := string(binary.BigEndian.AppendUint64([]byte{0x82}, 1<<62)[:1])
	for name, c := range map[string]struct {
		client, origin string // what each writes
		kind           string
		code           int
	}{
		"a client's frame is not masked":  {client: bare(0x81, "hi"), kind: "websocket_violation", code: 1002},
		"an origin's frame is masked":     {origin: masked(0x81, "hi"), kind: "websocket_violation", code: 1002},
		"compressed by a client":          {client: masked(0xc1, "\xca\xc8\x04\x00"), kind: "websocket_violation", code: 1002},
		"compressed by an origin":         {origin: bare(0xc1, "\xca\xc8\x04\x00"), kind: "websocket_violation", code: 1002},
		"a reserved opcode":               {origin: bare(0x83, "hi"), kind: "websocket_violation", code: 1002},
		"a text that is none":             {client: masked(0x81, "hi\xff"), kind: "websocket_violation", code: 1007},
		"a code that none may have":       {origin: bare(0x88, "\x03\xed"), kind: "websocket_violation", code: 1002},
		"a length of exabytes":            {client: huge + "\xff" + string(binary.BigEndian.AppendUint64(nil, 1<<62)) + "keys", kind: "message_too_large", code: 1009},
		"a length of exabytes, an origin": {origin: huge + "\x7f" + string(binary.BigEndian.AppendUint64(nil, 1<<62)), kind: "message_too_large", code: 1009},
		"pings without end":               {client: strings.Repeat(masked(0x89, "x"), 300), kind: "message_flood", code: 1008},
		"pongs without end":               {origin: strings.Repeat(bare(0x8a, "x"), 300), kind: "message_flood", code: 1008},
		"fragments without end":           {client: masked(0x02, "x") + strings.Repeat(masked(0x00, ""), 70_000), kind: "message_flood", code: 1008},
		"fragments without end, too":      {origin: bare(0x01, "x") + strings.Repeat(bare(0x00, "y"), 70_000), kind: "message_flood", code: 1008},
	} {
		told := make(chan int, 1)
		r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(func(s *socket) {
			go func() { _, _ = io.WriteString(s.c, c.origin) }()
			code, _ := s.end()
			told <- code
			_ = s.w.Close(ws.Normal, "")
		})}})
		s := r.websocket(t, inTLS, "other.example.com")
		go func() { _, _ = io.WriteString(s.c, c.client) }()
		got, reason := s.end()
		_ = s.w.Close(ws.Normal, "")
		other := <-told
		if c.client == "" {
			got, other = other, got
		} else if !strings.HasPrefix(reason, "sallyport: ") {
			t.Errorf("%s: told %q", name, reason)
		}
		if got != c.code || other != ws.GoingAway {
			t.Errorf("%s: ended by %d, and the other side by %d", name, got, other)
		}
		if kind, _, by := s.ended(r); kind != c.kind || by != "proxy" {
			t.Errorf("%s: recorded as %s by %s", name, kind, by)
		}
	}
}

// A WebSocket that is cut looks cut on the other side, and is recorded so.
func TestSocketsLookCut(t *testing.T) {
	for _, byOrigin := range []bool{false, true} {
		told := make(chan string, 1)
		r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(func(s *socket) {
			_, _ = s.next()
			if byOrigin {
				return
			}
			_, text := s.next()
			told <- text
		})}})
		s := r.websocket(t, inTLS, "other.example.com")
		s.send(ws.Text, "hello")
		want := "client_gone"
		if byOrigin {
			_, text := s.next()
			told <- text
			want = "truncated"
		} else {
			_ = s.c.Close()
		}
		if got := <-told; !strings.HasPrefix(got, "cut: ") {
			t.Errorf("the other side saw %q", got)
		}
		if kind, code, _ := s.ended(r); kind != want || code != 0 {
			t.Errorf("recorded as %s, %d", kind, code)
		}
	}
}

// A close that is not answered, and a WebSocket in which nothing is said, do not
// stay for ever; one that policy limits ends in time.
func TestSocketsEnd(t *testing.T) {
	quiet := sockets(func(s *socket) { _, _ = s.end() })
	for name, c := range map[string]struct {
		policy string
		more   func(*proxy.Config)
		say    string
		kind   string
		code   int
	}{
		"idle":           {policy: noSecret, more: func(c *proxy.Config) { c.TunnelIdle = 100 * time.Millisecond }, kind: "idle", code: ws.GoingAway},
		"limited":        {policy: noSecret + "\nlimits contains {\"seconds\": 1}\n", kind: "life", code: ws.GoingAway},
		"more than may":  {policy: noSecret + "\nlimits contains {\"request_bytes\": 10}\n", say: "eleven bytes", kind: "request_too_large", code: ws.TooBig},
		"more than may,": {policy: noSecret + "\nlimits contains {\"response_bytes\": 10}\n", say: "eleven bytes", kind: "response_too_large", code: ws.TooBig},
	} {
		h := quiet
		if c.kind == "response_too_large" {
			h = sockets(echoes)
		}
		r := newRig(t, rigging{policy: c.policy, more: c.more, origin: origin.Options{Handler: h}})
		s := r.websocket(t, inTLS, "other.example.com")
		if c.say != "" {
			s.send(ws.Text, c.say)
		}
		if code, reason := s.end(); code != c.code {
			t.Errorf("%s: ended by %d %q", name, code, reason)
		}
		_ = s.w.Close(ws.Normal, "")
		if kind, _, _ := s.ended(r); kind != c.kind {
			t.Errorf("%s: recorded as %s", name, kind)
		}
	}
}

// A change that would refuse the handshake now ends what it opened, with a close
// that says why; one that would not lets it go on.
func TestChangesReachSockets(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*sandbox.Sandbox)
		policy string
		want   string // "" goes on
	}{
		"revoked":      {change: func(s *sandbox.Sandbox) { s.Revoked = true }, want: "revoked"},
		"paused":       {change: func(s *sandbox.Sandbox) { s.Paused = true }, want: "paused"},
		"not granted":  {policy: everything, want: "policy_changed"},
		"not allowed":  {policy: "package egress\n\nwebsocket := true\n", want: "policy_changed"},
		"granted":      {policy: noSecret},
		"limited":      {policy: noSecret + "\nlimits contains {\"request_bytes\": 8}\n", want: "request_too_large"},
		"and observed": {policy: everything, change: func(s *sandbox.Sandbox) { s.Mode = sandbox.Observe }},
	} {
		r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(echoes)}})
		s := r.websocket(t, inTLS, "other.example.com")
		s.send(ws.Text, "before")
		if _, text := s.next(); text != "before" {
			t.Fatal(text)
		}
		sb, pol := *r.sandbox, r.decider
		if c.change != nil {
			c.change(&sb)
		}
		if c.policy != "" {
			pol = load(t, c.policy)
		}
		r.gate.Update(&sb, pol)
		if c.want == "" {
			s.send(ws.Text, "after")
			if _, text := s.next(); text != "after" {
				t.Errorf("%s: %s", name, text)
			}
			continue
		}
		if name == "limited" {
			s.send(ws.Text, "after")
		}
		code, reason := s.end()
		_ = s.w.Close(ws.Normal, "")
		if code != ws.Policy && name != "limited" || !strings.HasPrefix(reason, "sallyport: ") {
			t.Errorf("%s: ended by %d %q", name, code, reason)
		}
		if kind, _, _ := s.ended(r); kind != c.want {
			t.Errorf("%s: recorded as %s", name, kind)
		}
	}
}

// A secret that an origin says in its messages is taken out, wherever they are
// split, and in what its control frames say.
func TestSecretsInMessages(t *testing.T) {
	r := newRig(t, rigging{policy: allowSockets, origin: origin.Options{Handler: sockets(func(s *socket) {
		auth := s.resp.Header.Get("Authorization")
		s.send(ws.Text, `{"auth": "`+auth+`"}`)
		s.send(ws.Binary, "\x00"+auth+"\xff")
		for i := range auth {
			_ = s.w.Write(ws.Piece{Op: ws.Text, First: i == 0, Last: i == len(auth)-1, Payload: []byte(auth[i : i+1])})
		}
		s.send(ws.Text, strings.Repeat("x", 32<<10-20)+auth)
		s.send(ws.Ping, auth)
		s.send(ws.Pong, auth)
		_ = s.w.Close(4000, auth)
		_, _ = s.end()
	})}})
	s := r.websocket(t, inTLS, "api.example.com")
	n := 0
	for {
		op, text := s.next()
		if strings.Contains(text, secret) || strings.Contains(text, secret[:12]) {
			t.Errorf("%v says %q", op, text)
		}
		if strings.Contains(text, "[REDACTED:api]") {
			n++
		}
		if op == ws.Close || op == 0 {
			break
		}
	}
	_ = s.w.Close(ws.Normal, "")
	if n != 5 {
		t.Errorf("%d are marked", n)
	}
	if e := r.found(map[string]string{"event.name": string(audit.RequestComplete)}); len(e) != 1 || e[0].Int("scrub.replacements") < 4 {
		t.Errorf("%s", e)
	}
	b := fmt.Sprint(r.found(map[string]string{"v": audit.Version}))
	if strings.Contains(b, secret) {
		t.Error("the records have it")
	}
}

// A WebSocket that is open when the proxy ends is given the time that there is, then
// both sides are told that this end goes away.
func TestSocketsAreToldOfTheEnd(t *testing.T) {
	told := make(chan int, 1)
	r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(func(s *socket) {
		_, _ = s.next()
		s.send(ws.Text, "still here")
		code, _ := s.end()
		told <- code
		_ = s.w.Close(ws.Normal, "")
	})}})
	s := r.websocket(t, inTLS, "other.example.com")
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.srv.Shutdown(ctx) }()
	time.Sleep(50 * time.Millisecond)
	s.send(ws.Text, "hello")
	if _, text := s.next(); text != "still here" {
		t.Errorf("while it drains: %q", text)
	}
	code, _ := s.end()
	_ = s.w.Close(ws.Normal, "")
	if other := <-told; code != ws.GoingAway || other != ws.GoingAway {
		t.Errorf("told %d and %d", code, other)
	}
	<-done
	if kind, _, _ := s.ended(r); kind != "shutdown" {
		t.Errorf("recorded as %s", kind)
	}
}

// What passes is recorded while it lasts, with its number of messages.
func TestSocketProgress(t *testing.T) {
	r := newRig(t, rigging{policy: noSecret, more: func(c *proxy.Config) { c.Progress = 30 * time.Millisecond }, origin: origin.Options{Handler: sockets(echoes)}})
	s := r.websocket(t, inTLS, "other.example.com")
	for i := range 3 {
		s.send(ws.Text, "hello")
		_, _ = s.next()
		n := fmt.Sprint(i + 1)
		if e := r.found(map[string]string{"event.name": string(audit.RequestProgress), "messages.client_in": n, "messages.client_out": n, "bytes.client_in": fmt.Sprint(5 * (i + 1))}); len(e) != 1 {
			t.Errorf("after %s: %s", n, e)
		}
	}
}

// Messages that nobody judges pass in constant memory, whatever their size.
func TestSocketMemory(t *testing.T) {
	const size = 24 << 20
	got := make(chan int64, 1)
	r := newRig(t, rigging{policy: noSecret, origin: origin.Options{Handler: sockets(func(s *socket) {
		var n int64
		for {
			p, err := s.r.Next()
			n += int64(len(p.Payload))
			if err != nil || p.Last {
				break
			}
		}
		got <- n
	})}})
	s := r.websocket(t, inPlain, "other.example.com")
	head := binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, size)
	_, _ = s.c.Write(append(head, 0, 0, 0, 0))
	var before, after, peak runtime.MemStats
	runtime.ReadMemStats(&before)
	chunk := make([]byte, 1<<20)
	for i := range size >> 20 {
		if _, err := s.c.Write(chunk); err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			runtime.ReadMemStats(&after)
			if after.HeapInuse > peak.HeapInuse {
				peak = after
			}
		}
	}
	if n := <-got; n != size {
		t.Errorf("%d arrived", n)
	}
	if grown := int64(peak.HeapInuse) - int64(before.HeapInuse); grown > 12<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	} else {
		t.Logf("a message of %d bytes: the heap grew by %d", size, grown)
	}
}
