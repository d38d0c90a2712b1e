package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/policy/rego"
	"sallyport/proxy"
	"sallyport/sandbox"
)

// endless sends an event each 10 ms for as long as somebody listens.
func endless(w http.ResponseWriter, r *http.Request) {
	for i := 0; r.Context().Err() == nil; i++ {
		fmt.Fprintf(w, "data: %d\n\n", i)
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func load(t *testing.T, text string) *rego.Policy {
	t.Helper()
	dir := t.TempDir()
	for i, part := range strings.Split(text, "---\n") {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%d.rego", i)), []byte(part), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := rego.Load(t.Context(), rego.Options{Name: "changed", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// outcomes are the error types of what ended, by the kind of event.
func (r *rig) outcomes(n audit.Name) (out []string) {
	r.t.Helper()
	for range 200 {
		out = nil
		if err := audit.Tail(context.Background(), r.log, audit.TailOptions{}, func(e audit.Entry) error {
			if e.Str("event.name") == string(n) {
				out = append(out, e.Str("error.type"))
			}
			return nil
		}); err != nil {
			r.t.Fatal(err)
		}
		if len(out) > 0 {
			return out
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

const everything = "package egress\n\nallow := true\n"

// A change of the sandbox or its policy reaches a stream that is open: what
// would be refused now ends, with a record that says why, and what would not
// goes on.
func TestChangesReachStreams(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*sandbox.Sandbox) // of the sandbox
		policy string                 // "" stays
		want   string                 // "" goes on
	}{
		"revoked":              {change: func(s *sandbox.Sandbox) { s.Revoked = true }, want: "revoked"},
		"paused":               {change: func(s *sandbox.Sandbox) { s.Paused = true }, want: "paused"},
		"sealed":               {change: func(s *sandbox.Sandbox) { s.Mode = sandbox.Sealed }, want: "policy_changed"},
		"other policy":         {policy: "package egress\n\nallow if input.request.path == \"/other\"\n", want: "policy_changed"},
		"same answer":          {policy: everything},
		"an answer of its own": {policy: everything + "\nrespond := {\"status\": 204}\n", want: "policy_changed"},
		"led elsewhere":        {policy: everything + "\nrewrite := {\"host\": \"other.example.com\"}\n", want: "policy_changed"},
		"its address denied":   {policy: everything + "---\npackage egress.dial\n\ndeny contains \"no\" if \"127.0.0.1\" in input.addresses\n", want: "policy_changed"},
		"another's address":    {policy: everything + "---\npackage egress.dial\n\ndeny contains \"no\" if \"192.0.2.1\" in input.addresses\n"},
		"props that matter": {change: func(s *sandbox.Sandbox) { s.Props = map[string]any{"open": false} }, want: "policy_changed",
			policy: "package egress\n\nallow if not input.sandbox.props.open == false\n"},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s h2=%v", name, h2), func(t *testing.T) {
				r := newRig(t, rigging{policy: everything, origin: origin.Options{Handler: http.HandlerFunc(endless), HTTP1: !h2}})
				resp, err := r.client(t, h2).Get("https://" + r.at("api.example.com") + "/stream")
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				in := bufio.NewReader(resp.Body)
				if _, err := in.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				sb, pol := *r.sandbox, r.decider
				if c.change != nil {
					c.change(&sb)
				}
				if c.policy != "" {
					pol = load(t, c.policy)
				}
				begin := time.Now()
				r.gate.Update(&sb, pol)
				time.AfterFunc(3*time.Second, func() { _ = resp.Body.Close() }) // so that a failure ends
				if c.want == "" {
					for range 50 {
						if _, err := in.ReadString('\n'); err != nil {
							t.Fatalf("it ended: %v", err)
						}
					}
					return
				}
				if _, err := io.Copy(io.Discard, in); err == nil {
					t.Error("the stream ended as if it were whole")
				}
				if d := time.Since(begin); d > time.Second {
					t.Errorf("it took %v", d)
				}
				if got := r.outcomes(audit.RequestComplete); strings.Join(got, " ") != c.want {
					t.Errorf("recorded as %v, want %s", got, c.want)
				}
			})
		}
	}
}

// A client that neither reads nor writes is cut as well.
func TestChangeReachesAStalledClient(t *testing.T) {
	body := strings.Repeat("x", 1<<20)
	r := newRig(t, rigging{policy: everything, origin: origin.Options{HTTP1: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			if _, err := io.WriteString(w, body); err != nil {
				return
			}
		}
	})}})
	c, err := r.tls("api.example.com", &tls.Config{NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", r.at("api.example.com"))
	time.Sleep(300 * time.Millisecond) // until every buffer is full
	sb := *r.sandbox
	sb.Revoked = true
	r.gate.Update(&sb, r.decider)
	if got := r.outcomes(audit.RequestComplete); strings.Join(got, " ") != "revoked" {
		t.Errorf("recorded as %v", got)
	}
}

// A change reaches an opaque tunnel, and what is asked from then on.
func TestChangesReachTunnels(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	const opaque = "package egress.connect\n\nallow := true\n\nopaque := true\n"
	for name, change := range map[string]func(*sandbox.Sandbox) proxy.Decider{
		"revoked":        func(s *sandbox.Sandbox) proxy.Decider { s.Revoked = true; return nil },
		"paused":         func(s *sandbox.Sandbox) proxy.Decider { s.Paused = true; return nil },
		"policy_changed": func(*sandbox.Sandbox) proxy.Decider { return load(t, "package egress.connect\n\nallow := true\n") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigging{policy: opaque})
			tunnel := func() (net.Conn, error) {
				c, err := net.Dial("tcp", r.addr)
				if err != nil {
					return nil, err
				}
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				fmt.Fprintf(c, "CONNECT api.example.com:%d HTTP/1.1\r\nHost: api.example.com\r\n\r\n", echo.Addr().(*net.TCPAddr).Port)
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						_ = c.Close()
						return nil, err
					}
					if line == "\r\n" {
						break
					}
				}
				if _, err := io.WriteString(c, "\x00ping\n"); err != nil {
					return c, err
				}
				_, err = in.ReadString('\n')
				return c, err
			}
			c, err := tunnel()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			sb, begin := *r.sandbox, time.Now()
			pol := change(&sb)
			if pol == nil {
				pol = r.decider
			}
			r.gate.Update(&sb, pol)
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("the tunnel goes on")
			}
			if d := time.Since(begin); d > time.Second {
				t.Errorf("it took %v", d)
			}
			if got := r.outcomes(audit.TunnelClose); strings.Join(got, " ") != name {
				t.Errorf("recorded as %v", got)
			}
			if c, err := tunnel(); err == nil {
				_ = c.Close()
				t.Error("another tunnel was opened")
			}
		})
	}
}
