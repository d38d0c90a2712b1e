package proxy_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/proxy"
	"sallyport/proxy/leaf"
)

const opaqueAll = "package egress.connect\n\nallow := true\n\nopaque := true\n"

// upstream serves each raw connection, and returns at which port.
func upstream(t *testing.T, serve func(*net.TCPConn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func echo(c *net.TCPConn) { _, _ = io.Copy(c, c) }

// closed is the record of the tunnel that ended.
func (r *rig) closed() audit.Entry {
	r.t.Helper()
	got := r.found(map[string]string{"event.name": string(audit.TunnelClose)})
	if len(got) != 1 {
		r.t.Fatalf("%d tunnels are recorded as closed", len(got))
	}
	return got[0]
}

// answered reads the answer to CONNECT, which has no body.
func answered(t *testing.T, c net.Conn) {
	t.Helper()
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one...) {
		if _, err := io.ReadFull(c, one); err != nil {
			t.Fatalf("%s %v", head, err)
		}
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		t.Fatalf("%s", head)
	}
}

// Each side can end what it says and still be told, on every way in, and each byte
// is counted, those that came with CONNECT too.
func TestTunnelHalfCloses(t *testing.T) {
	const early, after = "came early ", 1 << 20
	big := bytes.Repeat([]byte("0123456789abcdef"), after/16)
	// Whoever begins says early, is answered, ends, and then is sent a MiB.
	first := func(c io.Writer, end func() error, in io.Reader) error {
		if _, err := io.WriteString(c, early); err != nil {
			return err
		}
		if err := end(); err != nil {
			return err
		}
		got, err := io.ReadAll(in)
		if err == nil && !bytes.Equal(got, big) {
			err = fmt.Errorf("%d bytes came", len(got))
		}
		return err
	}
	second := func(c io.Writer, end func() error, in io.Reader) error {
		got, err := io.ReadAll(in)
		if err != nil || string(got) != early {
			return fmt.Errorf("%q %w", got, err)
		}
		if _, err := c.Write(big); err != nil {
			return err
		}
		return end()
	}
	type closer interface {
		net.Conn
		CloseWrite() error
	}
	for _, way := range []string{"tcp", "unix", "tls"} {
		for _, server := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s server=%v", way, server), func(t *testing.T) {
				r := newRig(t, rigging{policy: opaqueAll})
				up := make(chan error, 1)
				port := upstream(t, func(c *net.TCPConn) {
					if server {
						up <- first(c, c.CloseWrite, c)
						return
					}
					up <- second(c, c.CloseWrite, c)
				})
				c := r.comes(way)
				// What the client says first comes in one piece with CONNECT.
				w := &glued{c, fmt.Appendf(nil, "CONNECT api.example.com:%[1]d HTTP/1.1\r\nHost: api.example.com:%[1]d\r\nProxy-Authorization: Bearer %[2]s\r\n\r\n", port, doorToken)}
				talk := first
				if server {
					talk = second
					if _, err := w.Write(nil); err != nil {
						t.Fatal(err)
					}
				}
				if err := talk(w, c.(closer).CloseWrite, &beyond{Conn: c, t: t}); err != nil {
					t.Error(err)
				}
				if err := <-up; err != nil {
					t.Error(err)
				}
				e, in, out := r.closed(), fmt.Sprint(len(early)), fmt.Sprint(after)
				if server {
					in, out = out, in
				}
				if fmt.Sprint(e.Int("bytes.client_in")) != in || fmt.Sprint(e.Int("bytes.client_out")) != out || e.Str("event.outcome") != "success" {
					t.Errorf("%s", e.Line)
				}
			})
		}
	}
}

// A glued connection sends something with what it is given first.
type glued struct {
	net.Conn
	head []byte
}

func (g *glued) Write(p []byte) (int, error) {
	head := g.head
	g.head = nil
	if _, err := g.Conn.Write(append(head, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// beyond reads what comes behind the answer to CONNECT.
type beyond struct {
	net.Conn
	t  *testing.T
	at bool
}

func (b *beyond) Read(p []byte) (int, error) {
	if !b.at {
		answered(b.t, b.Conn)
		b.at = true
	}
	return b.Conn.Read(p)
}

// comes opens a connection to an explicit proxy by TCP, by a Unix socket, or by
// TLS to a door that asks for a token.
func (r *rig) comes(way string) (c net.Conn) {
	r.t.Helper()
	var err error
	switch way {
	case "tcp":
		return r.dial()
	case "unix":
		path := filepath.Join(r.t.TempDir(), "s")
		l, lerr := net.Listen("unix", path)
		if lerr != nil {
			r.t.Fatal(lerr)
		}
		go func() { _ = r.gate.ServeExplicit(l) }()
		c, err = net.Dial("unix", path)
	case "tls":
		c, _ := r.comesTLS()
		return c
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// comesTLS opens TLS to a door that asks for a token, of a sandbox of its own.
func (r *rig) comesTLS() (net.Conn, *proxy.Gate) {
	r.t.Helper()
	issuer, ierr := leaf.New(leaf.Options{CommonName: "test"})
	host, herr := dest.ParseHost("proxy.example")
	if ierr != nil || herr != nil {
		r.t.Fatal(ierr, herr)
	}
	cert, err := issuer.LeafWithin(r.t.Context(), host, leaf.NewBudget())
	if err != nil {
		r.t.Fatal(err)
	}
	g, _, addr := r.door("door", proxy.Asks{Tokens: tokens(doorToken), TLS: &tls.Config{Certificates: []tls.Certificate{*cert}}})
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, g
}

// A tunnel ends when nothing passes, when it lasted long enough, and when as much
// passed as policy lets: exactly so much, not one byte more. A busy one is not idle.
func TestTunnelIsBounded(t *testing.T) {
	limited := func(l string) string { return opaqueAll + "\nlimits contains " + l + "\n" }
	for name, c := range map[string]struct {
		policy     string
		idle, life time.Duration
		talk       bool // once and again
		want       string
		in, out    int64 // at most; 0 does not matter
	}{
		"idle":           {idle: 200 * time.Millisecond, want: "idle"},
		"busy":           {idle: 500 * time.Millisecond, talk: true},
		"life":           {life: 300 * time.Millisecond, talk: true, want: "life"},
		"life of policy": {policy: limited(`{"seconds": 1}`), life: time.Minute, talk: true, want: "life"},
		"bytes in":       {policy: limited(`{"request_bytes": 10}`), talk: true, want: "request_too_large", in: 10},
		"bytes out":      {policy: limited(`{"response_bytes": 10}`), talk: true, want: "response_too_large", out: 10},
		"both are least": {policy: limited(`{"response_bytes": 100}`) + "\nlimits contains {\"response_bytes\": 7}\n", talk: true, want: "response_too_large", out: 7},
	} {
		t.Run(name, func(t *testing.T) {
			if c.policy == "" {
				c.policy = opaqueAll
			}
			r := newRig(t, rigging{policy: c.policy, more: func(p *proxy.Config) { p.TunnelIdle, p.TunnelLife = c.idle, c.life }})
			conn := r.connect(fmt.Sprintf("api.example.com:%d", upstream(t, echo)))
			begin := time.Now()
			got := 0
			for range 40 {
				if c.talk {
					if _, err := conn.Write([]byte("abc")); err != nil {
						break
					}
				}
				_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				n, err := conn.Read(make([]byte, 100))
				got += n
				if err != nil && !isTimeout(err) {
					break
				}
				if c.talk {
					time.Sleep(50 * time.Millisecond)
				}
				if c.want == "" && time.Since(begin) > time.Second {
					_ = conn.Close()
				}
			}
			e := r.closed()
			if e.Str("error.type") != c.want || c.want != "" && e.Str("event.outcome") != "failure" {
				t.Errorf("after %v: %s", time.Since(begin), e.Line)
			}
			if c.in > 0 && e.Int("bytes.client_in") != c.in || c.out > 0 && (e.Int("bytes.client_out") != c.out || int64(got) > c.out) {
				t.Errorf("%d bytes came: %s", got, e.Line)
			}
		})
	}
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

// A change of policy that tightens the bounds of what it still allows reaches a
// tunnel that is open.
func TestChangeBoundsATunnel(t *testing.T) {
	r := newRig(t, rigging{policy: opaqueAll})
	c := r.connect(fmt.Sprintf("api.example.com:%d", upstream(t, echo)))
	if _, err := c.Write([]byte("12345678")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	r.gate.Update(r.sandbox, load(t, opaqueAll+"\nlimits contains {\"request_bytes\": 10}\n"))
	if _, err := c.Write([]byte("90a")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err == nil || len(got) > 2 {
		t.Errorf("%q %v", got, err)
	}
	if e := r.closed(); e.Str("error.type") != "request_too_large" || e.Int("bytes.client_in") != 10 {
		t.Errorf("%s", e.Line)
	}
}

// While a tunnel is open it is recorded how much passed, and nothing when nothing
// did.
func TestTunnelProgress(t *testing.T) {
	r := newRig(t, rigging{policy: opaqueAll, more: func(p *proxy.Config) { p.Progress = 50 * time.Millisecond }})
	c := r.connect(fmt.Sprintf("api.example.com:%d", upstream(t, echo)))
	for n := 1; n <= 3; n++ {
		if _, err := c.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		last := fmt.Sprint(10 * n)
		if got := r.found(map[string]string{"event.name": string(audit.TunnelProgress), "bytes.client_in": last, "bytes.client_out": last}); len(got) != 1 {
			t.Fatalf("%d bytes are recorded %d times", 10*n, len(got))
		}
	}
	time.Sleep(200 * time.Millisecond)
	all := r.found(map[string]string{"event.name": string(audit.TunnelProgress)})
	decision := r.found(map[string]string{"event.name": string(audit.TunnelDecision)})
	if len(all) < 3 || len(all) > 6 || all[0].Str("event.of") != decision[0].Str("event.id") || all[0].Str("url.domain") != "api.example.com" {
		t.Errorf("%d are recorded: %s", len(all), all[0].Line)
	}
	_ = c.Close()
	r.closed()
}

// Urgent data (RFC 9293, 3.8.5) loses its byte and its mark, and holds up nothing.
func TestTunnelUrgent(t *testing.T) {
	r := newRig(t, rigging{policy: opaqueAll})
	c := r.connect(fmt.Sprintf("api.example.com:%d", upstream(t, echo)))
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	send := func(text string, flags int) {
		t.Helper()
		if cerr := raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte(text), flags, nil) }); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
	}
	send("before ", 0)
	send("!", unix.MSG_OOB)
	send("after", 0)
	got := make([]byte, len("before after"))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != "before after" {
		t.Errorf("%q %v", got[:n], err)
	}
	send("!", unix.MSG_OOB)
	send("once more", 0)
	got = got[:len("once more")]
	if n, err := io.ReadFull(c, got); err != nil || string(got) != "once more" {
		t.Errorf("%q %v", got[:n], err)
	}
	_ = c.Close()
	if e := r.closed(); !strings.Contains(string(e.Line), `"bytes.client_in":21`) {
		t.Errorf("%s", e.Line)
	}
}
