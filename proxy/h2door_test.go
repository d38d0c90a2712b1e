package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/dest"
	"sallyport/origin"
	"sallyport/proxy"
	"sallyport/proxy/leaf"
)

// A h2door is a door with TLS at which HTTP/2 is spoken.
type h2door struct {
	*rig
	gate *proxy.Gate
	door *proxy.Door
	addr string
	asks proxy.Asks
	http *http.Client // all of its requests go over one connection
}

func (r *rig) h2door() *h2door {
	r.t.Helper()
	issuer, err := leaf.New(leaf.Options{CommonName: "test"})
	host, herr := dest.ParseHost("proxy.example")
	if err = errors.Join(err, herr); err != nil {
		r.t.Fatal(err)
	}
	cert, err := issuer.LeafWithin(r.t.Context(), host, leaf.NewBudget())
	if err != nil {
		r.t.Fatal(err)
	}
	d := &h2door{rig: r, asks: proxy.Asks{Tokens: tokens(doorToken, otherToken), TLS: &tls.Config{NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{*cert}}}}
	d.gate, d.door, d.addr = r.door("door", d.asks)
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxConnsPerHost: 1, DisableCompression: true}
	r.t.Cleanup(tr.CloseIdleConnections)
	d.http = &http.Client{Transport: tr}
	return d
}

// A streamed tunnel is what a real client sees of CONNECT over HTTP/2.
type streamed struct {
	*io.PipeWriter
	in   io.ReadCloser
	resp *http.Response
}

// reset ends the stream before its end.
func (s *streamed) reset() { _ = s.CloseWithError(errors.New("reset")) }

func (s *streamed) Read(p []byte) (int, error) { return s.in.Read(p) }

func (s *streamed) CloseWrite() error { return s.PipeWriter.Close() }

func (s *streamed) Close() error {
	_ = s.PipeWriter.Close()
	return s.in.Close()
}

// connect asks for a tunnel. The answer may be a refusal.
func (d *h2door) connect(authority, token string) *streamed {
	d.t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	d.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+d.addr, r)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Host = authority
	if token != "" {
		req.Header.Set("Proxy-Authorization", "Bearer "+token)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	if resp.ProtoMajor != 2 {
		d.t.Fatalf("%s was spoken", resp.Proto)
	}
	return &streamed{w, resp.Body, resp}
}

// frames opens a connection on which a test writes frames of its own.
func (d *h2door) frames() *h2Client {
	d.t.Helper()
	c, err := tls.Dial("tcp", d.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return newH2Client(d.t.(*testing.T), c)
}

// A pipeConn is a tunnel for a client that wants a connection.
type pipeConn struct {
	*streamed
	net.Conn
}

func (p pipeConn) Read(b []byte) (int, error)  { return p.streamed.Read(b) }
func (p pipeConn) Write(b []byte) (int, error) { return p.streamed.Write(b) }
func (p pipeConn) Close() error                { return p.streamed.Close() }

func (p pipeConn) SetDeadline(time.Time) error      { return nil }
func (p pipeConn) SetReadDeadline(time.Time) error  { return nil }
func (p pipeConn) SetWriteDeadline(time.Time) error { return nil }

// Many tunnels in one connection, each opened as one of HTTP/1 is: what is inside is
// read, decided, given its credential and recorded, over HTTP/1 and HTTP/2.
func TestHTTP2DoorTunnels(t *testing.T) {
	r := newRig(t, rigging{})
	d := r.h2door()
	done := make(chan error, 12)
	for i := range cap(done) {
		s := d.connect(r.at("api.example.com"), []string{doorToken, otherToken}[i%2])
		if s.resp.StatusCode != http.StatusOK || s.resp.Header.Get("Sallyport-Connection") == "" {
			t.Fatalf("%v", s.resp)
		}
		go func() {
			proto := []string{"http/1.1", "h2"}[i/2%2]
			c := tls.Client(pipeConn{streamed: s}, &tls.Config{RootCAs: r.roots, ServerName: "api.example.com", NextProtos: []string{proto}})
			tr := &http.Transport{ForceAttemptHTTP2: proto == "h2", DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return c, c.HandshakeContext(t.Context()) }}
			defer tr.CloseIdleConnections()
			var err error
			for n := range 3 {
				var resp *http.Response
				if resp, err = (&http.Client{Transport: tr}).Post(fmt.Sprintf("https://%s/echo?i=%d&n=%d", r.at("api.example.com"), i, n), "text/plain", strings.NewReader("hello")); err != nil {
					break
				}
				if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || resp.ProtoMajor != 1+i/2%2 || strings.Contains(string(b), secret) {
					err = fmt.Errorf("%s %s %s", resp.Status, resp.Proto, b)
				}
				_ = resp.Body.Close()
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, s := range r.origin.Seen() {
		if s.Header.Get("Authorization") != "Bearer "+secret || s.Header.Get("Proxy-Authorization") != "" {
			t.Errorf("%+v", s.Header)
		}
	}
	want := map[string]string{"event.name": "egress.request.decision", "policy.decision": "allow", "sandbox.name": "door"}
	if n := r.counted(36, want); n != 36 || len(r.origin.Seen()) != 36 {
		t.Errorf("%d records, %d requests arrived", n, len(r.origin.Seen()))
	}
}

// hostile 332: each side can end what it says and be told on, and each byte is counted,
// beside another tunnel of the connection that takes nothing.
func TestHTTP2DoorHalfCloses(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for _, server := range []bool{false, true} {
		t.Run(fmt.Sprintf("server=%v", server), func(t *testing.T) {
			r := newRig(t, rigging{policy: opaqueAll})
			d := r.h2door()
			stuck := make(chan struct{})
			defer close(stuck)
			idle := d.connect(fmt.Sprintf("idle.example.com:%d", upstream(t, func(c *net.TCPConn) { _ = c.SetReadBuffer(4 << 10); <-stuck })), doorToken)
			var taken atomic.Int64
			go func() {
				for err := error(nil); err == nil; taken.Add(1) {
					_, err = idle.Write(make([]byte, 16<<10))
				}
			}()
			for was := int64(-1); taken.Load() != was; time.Sleep(200 * time.Millisecond) { // until nothing more is
				was = taken.Load()
			}
			first := func(w io.Writer, end func() error, in io.Reader) error { // says a little, ends, and is told much
				if _, err := io.WriteString(w, "early"); err != nil {
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
			second := func(w io.Writer, end func() error, in io.Reader) error {
				if got, err := io.ReadAll(in); err != nil || string(got) != "early" {
					return fmt.Errorf("%q %w", got, err)
				}
				if _, err := w.Write(big); err != nil {
					return err
				}
				return end()
			}
			up := make(chan error, 1)
			port := upstream(t, func(c *net.TCPConn) {
				if server {
					up <- first(c, c.CloseWrite, c)
					return
				}
				up <- second(c, c.CloseWrite, c)
			})
			s := d.connect(fmt.Sprintf("api.example.com:%d", port), doorToken)
			talk, in, out := first, int64(5), int64(len(big))
			if server {
				talk, in, out = second, out, in
			}
			both := make(chan error, 1)
			go func() { both <- errors.Join(talk(s, s.CloseWrite, s), <-up) }()
			select {
			case err := <-both:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("one tunnel holds up another")
			}
			e := r.closed()
			if e.Int("bytes.client_in") != in || e.Int("bytes.client_out") != out || e.Str("event.outcome") != "success" {
				t.Errorf("%s", e.Line)
			}
		})
	}
}

// hostile 372, 373: a tunnel that is cut looks cut, and the connection and its other tunnels go on.
func TestHTTP2DoorCuts(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(*net.TCPConn)
		cut   func(*h2door, *streamed)
		want  string // error.type
		alone bool   // the other tunnel lives on
	}{
		"the origin resets": {serve: func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "so far")
			_, _ = c.Read(make([]byte, 1))
			_ = c.SetLinger(0)
		}, cut: func(_ *h2door, s *streamed) { _, _ = s.Write([]byte("!")) }, want: "reset", alone: true},
		"the client resets": {serve: says, cut: func(_ *h2door, s *streamed) { s.reset() }, want: "reset", alone: true},
		"revoked": {serve: says, cut: func(d *h2door, _ *streamed) {
			sb := *d.gate.Sandbox()
			sb.Revoked = true
			d.gate.Update(&sb, d.decider)
		}, want: "revoked"},
		"the token is taken back": {serve: says, cut: func(d *h2door, _ *streamed) {
			a := d.asks
			a.Tokens = tokens(otherToken)
			d.gate.ChangeDoor(d.door, a)
		}, want: "reset"},
		"the policy changes": {serve: says, cut: func(d *h2door, _ *streamed) {
			d.gate.Update(d.gate.Sandbox(), load(d.t.(*testing.T), "package egress.connect\n\nallow if input.destination.host == \"other.example.com\"\n\nopaque := true\n"))
		}, want: "policy_changed", alone: true},
		"shutdown": {serve: says, cut: func(d *h2door, _ *streamed) {
			ctx, cancel := context.WithTimeout(d.t.Context(), 100*time.Millisecond)
			defer cancel()
			_ = d.srv.Shutdown(ctx)
		}, want: "reset"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigging{policy: opaqueAll})
			d := r.h2door()
			s := d.connect(fmt.Sprintf("api.example.com:%d", upstream(t, c.serve)), doorToken)
			other := d.connect(fmt.Sprintf("other.example.com:%d", upstream(t, echo)), otherToken)
			if b := make([]byte, 6); s.resp.StatusCode != http.StatusOK {
				t.Fatal(s.resp)
			} else if _, err := io.ReadFull(s, b); err != nil || string(b) != "so far" {
				t.Fatalf("%q %v", b, err)
			}
			c.cut(d, s)
			if b, err := io.ReadAll(s); err == nil || len(b) > 0 {
				t.Errorf("%q %v", b, err)
			} else if c.alone && name != "the client resets" && !strings.Contains(err.Error(), "CONNECT_ERROR") {
				t.Errorf("it ended by %v", err)
			}
			_, err := other.Write([]byte("on"))
			b := make([]byte, 2)
			if err == nil {
				_, err = io.ReadFull(other, b)
			}
			if c.alone != (err == nil && string(b) == "on") {
				t.Errorf("the other tunnel: %q %v", b, err)
			}
			_ = other.Close()
			if name == "shutdown" {
				return
			}
			if n := r.counted(1, map[string]string{"event.name": "egress.tunnel.close", "url.domain": "api.example.com", "error.type": c.want}); n != 1 {
				t.Errorf("%d records of %s", n, c.want)
			}
		})
	}
}

// hostile 68, 220, 374, 375: at the door CONNECT over HTTP/2 is refused as over HTTP/1, and so is
// what else is asked there.
func TestHTTP2DoorRefuses(t *testing.T) {
	r := newRig(t, rigging{origin: origin.Options{}, policy: allowAll + "\ndeny contains {\"code\": \"not_there\", \"public\": \"no\"} if input.destination.host == \"bad.example.com\"\n"})
	d := r.h2door()
	at := fmt.Sprintf("api.example.com:%d", r.origin.PlainPort)
	auth := "proxy-authorization: Bearer " + doorToken
	connect := func(authority string, more ...string) []string {
		return append([]string{":method: CONNECT", ":authority: " + authority}, more...)
	}
	get := func(scheme, authority, path string, more ...string) []string {
		return append([]string{":method: GET", ":scheme: " + scheme, ":authority: " + authority, ":path: " + path}, more...)
	}
	for name, c := range map[string]struct {
		fields []string
		want   string
	}{
		"without a token":          {connect(at), "407 proxy_auth_required"},
		"with a wrong token":       {connect(at, auth+"x"), "407 proxy_auth_wrong"},
		"two tokens":               {connect(at, auth, auth), "407 proxy_auth_required"},
		"without a port":           {connect("api.example.com", auth), "400 authority_invalid"},
		"port 0":                   {connect("api.example.com:0", auth), "400 authority_invalid"},
		"userinfo":                 {connect("x@"+at, auth), "reset"},
		"a path for a host":        {connect("/x", auth), "reset"},
		"a Host that differs":      {connect(at, auth, "host: other.example.com"), "reset"},
		"a length":                 {connect(at, auth, "content-length: 0"), "400 framing_invalid"},
		"TE":                       {connect(at, auth, "te: gzip"), "400"},
		"with :path":               {connect(at, ":path: /", auth), "reset"},
		"with :scheme":             {connect(at, ":scheme: https", auth), "reset"},
		"with both":                {[]string{":method: CONNECT", ":scheme: http", ":authority: " + at, ":path: /", auth}, "reset"},
		"without :authority":       {[]string{":method: CONNECT", "host: " + at, auth}, "reset"},
		"extended CONNECT":         {[]string{":method: CONNECT", ":protocol: websocket", ":scheme: http", ":authority: " + at, ":path: /", auth}, "reset"},
		"a request":                {get("http", at, "/echo?a=%2F", auth, "x-mine: 1"), "200 X-Mine"},
		"a request, refused":       {get("http", "bad.example.com", "/", auth), "403 not_there"},
		"a request, no token":      {get("http", at, "/"), "407 proxy_auth_required"},
		"a request for https":      {get("https", at, "/", auth), "400 scheme_invalid"},
		"a request for ftp":        {get("ftp", at, "/", auth), "reset"},
		"a request without a host": {[]string{":method: GET", ":scheme: http", ":path: /", auth}, "400 host_invalid"},
		"a Host beside :authority": {get("http", at, "/", auth, "host: other.example.com"), "reset"},
		"an absolute :path":        {get("http", at, "http://other.example.com/", auth), "reset"},
		"*":                        {[]string{":method: OPTIONS", ":scheme: http", ":authority: " + at, ":path: *", auth}, "400 path_invalid"},
	} {
		a := d.frames().send(c.fields, nil, nil)
		got := a.status + " " + a.body
		if a.reset {
			got = "reset"
		}
		want, code, _ := strings.Cut(c.want, " ")
		if !strings.HasPrefix(got, want) || !strings.Contains(got, code) {
			t.Errorf("%s: %+v, want %s", name, a, c.want)
		}
		if code != "" && want != "200" && len(r.found(map[string]string{"policy.code": code})) == 0 {
			t.Errorf("%s: no record of %s", name, code)
		}
	}
	seen := r.origin.Seen()
	if len(seen) != 1 || seen[0].Header.Get("Proxy-Authorization") != "" || seen[0].Header.Get("X-Mine") != "1" {
		t.Errorf("the origin saw %+v", seen)
	}
	// Who shows nothing is told to go, and HTTP/1 is spoken beside it.
	h := d.frames()
	if a := h.send(connect(at), nil, nil); a.status != "407" {
		t.Fatalf("%+v", a)
	}
	for {
		if _, err := h.fr.ReadFrame(); err != nil {
			if isTimeout(err) {
				t.Error("a connection that shows nothing is kept")
			}
			break
		}
	}
	c, err := tls.Dial("tcp", d.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: Bearer %[2]s\r\n\r\n", at, doorToken)
	if resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect}); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v %v", resp, err)
	}
}
