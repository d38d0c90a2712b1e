package proxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/dest"
	"sallyport/proxy"
	"sallyport/sandbox"
)

// A socksClient speaks SOCKS5 byte by byte.
type socksClient struct {
	net.Conn
	t testing.TB
}

func (r *rig) socks(addr string) *socksClient {
	r.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &socksClient{c, r.t}
}

// asks makes a request for a name or address and port.
func asks(command byte, host string, port int) string {
	to := "\x03" + string([]byte{byte(len(host))}) + host
	if a, err := netip.ParseAddr(host); err == nil && a.Is4() {
		to = "\x01" + string(a.AsSlice())
	} else if err == nil {
		to = "\x04" + string(a.AsSlice())
	}
	return "\x05" + string([]byte{command}) + "\x00" + to + string([]byte{byte(port >> 8), byte(port)})
}

// read returns what comes, up to n bytes or the end.
func (c *socksClient) read(n int) string {
	b := make([]byte, n)
	got, _ := io.ReadFull(c, b)
	return string(b[:got])
}

// open asks for a connection, says something at once, and returns the reply.
func (c *socksClient) open(host string, port int, early string) int {
	c.t.Helper()
	_, _ = io.WriteString(c, "\x05\x01\x00"+asks(1, host, port)+early)
	if m := c.read(2); m != "\x05\x00" {
		c.t.Fatalf("%s: the method is %q", host, m)
	}
	if r := c.read(10); len(r) == 10 {
		return int(r[1])
	}
	return -1
}

// What comes by SOCKS meets what comes by CONNECT: HTTP and TLS are read inside,
// by the name that was asked for or, behind an address, by the one inside.
func TestSocks(t *testing.T) {
	r := newRig(t, rigging{})
	get := func(host string) string {
		return fmt.Sprintf("GET /echo HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n", host, r.origin.PlainPort)
	}
	for what, c := range map[string]struct {
		to, host string
		status   int
	}{
		"a name":                      {"api.example.com", "api.example.com", 200},
		"a name as it may be":         {"API.example.com.", "api.example.com", 200},
		"another name inside":         {"api.example.com", "other.example.com", 421},
		"an address":                  {"127.0.0.1", "127.0.0.1", 200},
		"an address in words":         {"127.0.0.1", "api.example.com", 200},
		"an address, another inside":  {"127.0.0.1", "127.0.0.2", 421},
		"an IPv6 address, name in it": {"::1", "api.example.com", 200},
	} {
		s := r.socks(r.addr)
		if got := s.open(c.to, r.origin.PlainPort, get(c.host)); got != 0 { // in one packet: nothing of it is lost
			t.Errorf("%s: replied %d", what, got)
			continue
		}
		resp, err := http.ReadResponse(bufio.NewReader(s), nil)
		if err != nil || resp.StatusCode != c.status {
			t.Errorf("%s: %v %v", what, resp, err)
		}
	}
	s := r.socks(r.addr)
	if got := s.open("api.example.com", r.origin.TLSPort, ""); got != 0 {
		t.Fatalf("replied %d", got)
	}
	tc := tls.Client(s, &tls.Config{RootCAs: r.roots, ServerName: "api.example.com"})
	fmt.Fprintf(tc, "GET /echo HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", r.at("api.example.com"))
	if b, err := io.ReadAll(tc); err != nil || !strings.Contains(string(b), "[REDACTED:api]") {
		t.Errorf("inside TLS: %s %v", b, err)
	}
	if got := r.found(map[string]string{"event.name": "egress.request.decision", "ingress.mode": "socks", "authority.connect": "api.example.com:" + fmt.Sprint(r.origin.TLSPort)}); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
	if got := r.found(map[string]string{"event.name": "egress.request.decision", "ingress.mode": "socks", "connection.original.address": "127.0.0.1", "url.domain": "api.example.com"}); len(got) != 1 {
		t.Errorf("%d records of an address", len(got))
	}
	// HTTP is spoken on the same socket, however slowly it begins.
	h := r.socks(r.addr)
	for _, b := range fmt.Sprintf("GET http://api.example.com:%[1]d/echo HTTP/1.1\r\nHost: api.example.com:%[1]d\r\n\r\n", r.origin.PlainPort) {
		_, _ = h.Write([]byte{byte(b)})
	}
	if resp, err := http.ReadResponse(bufio.NewReader(h), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("%v %v", resp, err)
	}
}

// hostile 20, 310: what cannot be is refused in words of SOCKS, with a record,
// and nothing is looked up for it.
func TestSocksRefuses(t *testing.T) {
	r := newRig(t, rigging{policy: "package egress.connect\n\nallow if input.destination.host == \"db.example.com\"\n\nopaque if allow\n"})
	dead := closedPorts(t, "127.0.0.1", 1)[0]
	zero := strings.Repeat("\x00", 6)
	for what, c := range map[string]struct {
		say, want string
		record    map[string]string
	}{
		"BIND":           {"\x05\x01\x00" + asks(2, "db.example.com", 80), "\x05\x00\x05\x07\x00\x01" + zero, map[string]string{"policy.code": "socks_command", "url.domain": "db.example.com", "policy.operator": "the client asked for BIND (2)"}},
		"UDP":            {"\x05\x01\x00" + asks(3, "192.0.2.9", 53), "\x05\x00\x05\x07\x00\x01" + zero, map[string]string{"policy.code": "socks_command", "connection.original.address": "192.0.2.9", "policy.operator": "the client asked for UDP ASSOCIATE (3)"}},
		"a command":      {"\x05\x01\x00" + asks(9, "b.example.com", 80), "\x05\x00\x05\x07\x00\x01" + zero, map[string]string{"policy.code": "socks_command", "url.domain": "b.example.com"}},
		"NUL":            {"\x05\x01\x00" + asks(1, "evil.example\x00.example.com", 80), "\x05\x00\x05\x04\x00\x01" + zero, map[string]string{"policy.code": "host_invalid", "ingress.mode": "socks"}},
		"SOCKS4":         {"\x04\x01\x00\x50\x7f\x00\x00\x01me\x00", "\x00\x5b" + zero, map[string]string{"policy.code": "socks_version"}},
		"SOCKS4a":        {"\x04\x01\x00\x50\x00\x00\x00\x01me\x00db.example.com\x00", "\x00\x5b" + zero, map[string]string{"policy.code": "socks_version"}},
		"malformed":      {"\x05\x01\x00\x05\x01\x07\x03", "\x05\x00\x05\x01\x00\x01" + zero, map[string]string{"policy.code": "socks_invalid"}},
		"port closed":    {"\x05\x01\x00" + asks(1, "db.example.com", dead), "\x05\x00\x05\x05\x00\x01" + zero, map[string]string{"event.name": "egress.tunnel.close", "error.type": "connect_failed"}},
		"another method": {"\x05\x01\x01", "\x05\xff", map[string]string{"policy.code": "socks_invalid"}},
	} {
		s := r.socks(r.addr)
		_, _ = io.WriteString(s, c.say)
		got := s.read(len(c.want))
		if got != c.want {
			t.Errorf("%s: answered %q", what, got)
		}
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: it ends by %v", what, err)
		}
		if n := len(r.found(c.record)); n != 1 {
			t.Errorf("%s: %d records", what, n)
		}
	}
	if got := strings.Join(r.asked.names, " "); got != "db.example.com." {
		t.Errorf("%s was looked up", got)
	}
}

// A grant of bytes is answered when the destination is reached, and refusals that
// are known before anything is said inside are replies.
func TestSocksReplies(t *testing.T) {
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
			_, _ = io.WriteString(c, "hello first\n")
			_ = c.Close()
		}
	}()
	port := echo.Addr().(*net.TCPAddr).Port
	r := newRig(t, rigging{policy: "package egress.connect\n\nallow := true\n\nopaque := true\n", addrs: map[string][]netip.Addr{"gone.example.com.": {}}})
	s := r.socks(r.addr)
	if got := s.open("db.example.com", port, ""); got != 0 || s.read(12) != "hello first\n" {
		t.Errorf("replied %d", got)
	}
	names := sandbox.NewNames(0)
	db, _ := dest.ParseHost("db.example.com")
	handed, _ := names.Addr4(db)
	bound := sandbox.Binding{Host: db, Port: 5432, Target: dest.NewAddr(dest.HostFromAddr(netip.MustParseAddr("127.0.0.1")), uint16(port))}
	for what, c := range map[string]struct {
		host   string
		port   int
		change func(*sandbox.Sandbox)
		reply  int
		code   string
	}{
		"a name by its address":       {handed.String(), port, nil, 0, ""},
		"an address of nobody":        {"198.18.99.99", port, nil, 4, "address_unknown"},
		"an IPv6 address of nobody":   {"fd53:616c:6c79::999", port, nil, 4, "address_unknown"},
		"paused":                      {"db.example.com", port, func(s *sandbox.Sandbox) { s.Paused = true }, 2, "paused"},
		"revoked":                     {"db.example.com", port, func(s *sandbox.Sandbox) { s.Revoked = true }, 2, "revoked"},
		"sealed":                      {"db.example.com", port, func(s *sandbox.Sandbox) { s.Mode = sandbox.Sealed }, 2, "sealed"},
		"bound":                       {"db.example.com", 5432, func(s *sandbox.Sandbox) { s.Mode, s.Bindings = sandbox.Sealed, []sandbox.Binding{bound} }, 0, ""},
		"bound, by its address":       {handed.String(), 5432, func(s *sandbox.Sandbox) { s.Mode, s.Bindings = sandbox.Sealed, []sandbox.Binding{bound} }, 0, ""},
		"an address that is no place": {"10.0.0.1", port, nil, 2, "address_denied"},
		"a name without an address":   {"gone.example.com", port, nil, 4, "name_unresolved"},
	} {
		sb := &sandbox.Sandbox{ID: sandbox.NewID(), Name: what, Mode: sandbox.Enforce, Policy: []string{"test"}}
		if c.change != nil {
			c.change(sb)
		}
		g := r.srv.Open(sb, r.decider, names)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = g.ServeExplicit(l) }()
		s := r.socks(l.Addr().String())
		if got := s.open(c.host, c.port, ""); got != c.reply || (got == 0) != (s.read(12) == "hello first\n") {
			t.Errorf("%s: replied %d", what, got)
		}
		field := "policy.code"
		if c.code == "address_denied" || c.code == "name_unresolved" { // it was granted
			field = "error.type"
		}
		if c.code != "" && len(r.found(map[string]string{"sandbox.name": what, field: c.code})) != 1 {
			t.Errorf("%s: not recorded as %s", what, c.code)
		}
		g.Close()
	}
}

// hostile 220, 222, 311: at a door the password is the sandbox's token, before
// anything is asked for; guesses are few, and a change cuts what it opened.
func TestSocksDoor(t *testing.T) {
	r := newRig(t, rigging{})
	g, d, addr := r.door("one", proxy.Asks{Tokens: tokens(doorToken)})
	to := asks(1, "api.example.com", r.origin.PlainPort)
	shows := func(addr, token string) (*socksClient, string) {
		s := r.socks(addr)
		_, _ = io.WriteString(s, "\x05\x02\x00\x02\x01\x03any"+string([]byte{byte(len(token))})+token+to)
		return s, s.read(4)
	}
	inside := func(s *socksClient) int {
		fmt.Fprintf(s, "GET /x HTTP/1.1\r\nHost: api.example.com:%d\r\n\r\n", r.origin.PlainPort)
		resp, err := http.ReadResponse(bufio.NewReader(s), nil)
		if err != nil {
			return 0
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	in, got := shows(addr, doorToken)
	if got != "\x05\x02\x01\x00" || in.read(10)[1] != 0 || inside(in) != 200 {
		t.Fatalf("the token is answered %q", got)
	}
	none := r.socks(addr)
	if _, _ = io.WriteString(none, "\x05\x01\x00"+to); none.read(20) != "\x05\xff" {
		t.Error("let in without a token")
	}
	seen := len(r.origin.Seen())
	for i, wrong := range []string{otherToken, "x", "", doorToken + "x", doorToken[1:]} {
		if s, got := shows(addr, wrong); got != "\x05\x02\x01\x01" || s.read(1) != "" {
			t.Errorf("%d: answered %q", i, got)
		}
	}
	for range 20 { // what is left to guess, and more
		_, _ = shows(addr, "another guess")
	}
	if _, got := shows(addr, doorToken); got != "\x05\x02\x01\x01" {
		t.Errorf("the right token of a source that guesses is looked at: %q", got)
	}
	if inside(in) != 200 || len(r.origin.Seen()) != seen+1 {
		t.Error("one that was let in is in their way")
	}
	for _, code := range []string{"proxy_auth_required", "proxy_auth_wrong", "proxy_auth_limited"} {
		if got := r.found(map[string]string{"policy.code": code, "ingress.mode": "socks", "sandbox.name": "one"}); len(got) != 1 || got[0].Str("url.domain") != "" || strings.Contains(fmt.Sprint(got[0].Fields), "Token") {
			t.Errorf("%s: %v", code, got)
		}
	}
	g.ChangeDoor(d, proxy.Asks{Tokens: tokens(otherToken)})
	if got := inside(in); got != 0 {
		t.Errorf("what a token opened that is taken back: %d", got)
	}
	_, _, addr = r.door("two", proxy.Asks{})
	nobody := r.socks(addr)
	if _, _ = io.WriteString(nobody, "\x05\x01\x00"+to); nobody.read(12) != "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00" {
		t.Error("a door that asks for nothing lets in")
	}
}
