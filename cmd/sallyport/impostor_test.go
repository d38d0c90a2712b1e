package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/cmd/sidecar"
	"sallyport/origin"
	"sallyport/sandbox/netns"
)

// A guest is a namespace that was enrolled by hand.
type guest struct {
	ns *os.File
	h  *holder
}

// enrolHeld makes a namespace and enrols it with what lies in dir.
func enrolHeld(t *testing.T, dir string) *guest {
	t.Helper()
	g := &guest{ns: bare(t)}
	socks, err := netns.Attach(g.ns)
	if err != nil {
		t.Fatal(err)
	}
	g.h = &holder{socket: filepath.Join(dir, sidecar.EnrolSocket), socks: socks}
	if _, err := g.h.enrolWith(t.Context(), filepath.Join(dir, sidecar.TokenFile)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.h.conn.Close(); socks.Close(); _ = g.ns.Close() })
	return g
}

// offers tries to enrol with these, and returns why it was refused, or nil.
func offers(t *testing.T, socket, token string, socks *netns.Sockets) error {
	t.Helper()
	h := &holder{socket: socket, token: token, socks: socks}
	_, err := h.enrol(t.Context())
	if err == nil {
		_ = h.conn.Close()
	}
	return err
}

// Ways for one sandbox to be taken for another, or to command the sidecar, of which
// none leads anywhere: hostile 100, 101, 240 to 259.
func TestImpostors(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "setpriv", "util-linux")
	if os.Getuid() != 0 {
		t.Skip("only root can seal namespaces of several sandboxes in one test")
	}
	runtime.LockOSThread() // a thread that ends would be taken for the sidecar's parent
	defer runtime.UnlockOSThread()
	p := newPlace(t, callers()[0], origin.Options{})
	run := filepath.Join(filepath.Dir(p.dir), "run")
	at := func(name string) string { return filepath.Join(run, name) }
	entry := func(name, how string) string {
		return fmt.Sprintf("  - {name: %[1]s, labels: {team: web}, props: {tenant: t-%[1]s}, policy: [web], %[2]s}\n", name, how)
	}
	s := p.sidecar(t, "sandboxes:\n"+entry("victim", "enrol: {dir: "+at("victim")+"}")+entry("thief", "enrol: {dir: "+at("thief")+"}")+entry("vacant", "enrol: {dir: "+at("vacant")+"}")+
		entry("told", fmt.Sprintf("explicit: {socket: %s, user: %d}", at("told.sock"), os.Getuid())))
	spent, err := os.ReadFile(filepath.Join(at("victim"), sidecar.TokenFile))
	if err != nil {
		t.Fatal(err)
	}
	victim, thief := enrolHeld(t, at("victim")), enrolHeld(t, at("thief"))
	vacant := func() string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(at("vacant"), sidecar.TokenFile))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	refused := func(err error, why string) {
		t.Helper()
		if !errors.Is(err, errNotTaken) || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
	socketOf := func(name string) string { return filepath.Join(at(name), sidecar.EnrolSocket) }
	spare := bare(t)
	defer spare.Close()
	free, err := netns.Attach(spare)
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	client := admin.NewClient(s.control)

	t.Run("240 headers that say another sandbox", func(t *testing.T) {
		got := p.talk(t, thief.ns, "198.51.100.7", fmt.Sprintf("GET /echo HTTP/1.1\r\nHost: api.example.com:%d\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=victim\r\nX-Real-IP: 10.0.0.1\r\nSallyport-Sandbox: victim\r\nX-Tenant-Id: t-victim\r\nConnection: close\r\n\r\n", p.origin.PlainPort))
		if !strings.Contains(got, `"X-Tenant-Id":["t-thief"]`) || strings.Contains(got, "victim") || strings.Contains(got, "10.0.0.1") {
			t.Errorf("%s", got)
		}
	})
	t.Run("240 another sandbox's proxy credentials on one's own door", func(t *testing.T) {
		got := p.talk(t, thief.ns, "198.51.100.7", fmt.Sprintf("GET /echo HTTP/1.1\r\nHost: api.example.com:%d\r\nProxy-Authorization: Basic dmljdGltOng=\r\nConnection: close\r\n\r\n", p.origin.PlainPort))
		if !strings.Contains(got, `"X-Tenant-Id":["t-thief"]`) || strings.Contains(got, "Proxy-Authorization") {
			t.Errorf("%s", got)
		}
	})
	t.Run("242 another user on an explicit socket", func(t *testing.T) {
		_ = os.Chmod(at("told.sock"), 0o666) // the mode alone does not keep anybody out
		cmd := exec.Command("setpriv", "--reuid", "23456", "--regid", "23456", "--clear-groups", "curl", "-sS", "-m", "5", "--unix-socket", at("told.sock"), fmt.Sprintf("http://api.example.com:%d/echo", p.origin.PlainPort))
		if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), "Tenant") {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("243 another sandbox's token", func(t *testing.T) {
		refused(offers(t, socketOf("victim"), vacant(), free), "the token is not the one")
	})
	t.Run("244 a token that was spent", func(t *testing.T) {
		refused(offers(t, socketOf("victim"), strings.TrimSpace(string(spent)), free), "the token is not the one")
	})
	t.Run("245 no token, and one that is nearly right", func(t *testing.T) {
		for _, token := range []string{"", vacant()[1:], vacant() + "A", strings.ToLower(vacant())} {
			refused(offers(t, socketOf("vacant"), token, free), "the token is not the one")
		}
	})
	t.Run("246 one namespace for two sandboxes", func(t *testing.T) {
		refused(offers(t, socketOf("vacant"), vacant(), victim.h.socks), "the namespace is another sandbox's")
	})
	t.Run("247 sockets of two namespaces", func(t *testing.T) {
		mixed := *free
		mixed.TCP = victim.h.socks.TCP
		refused(offers(t, socketOf("vacant"), vacant(), &mixed), "of different namespaces")
	})
	t.Run("248 sockets of the sidecar's namespace", func(t *testing.T) {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		mixed := *free
		mixed.Explicit, mixed.DNSTCP = []net.Listener{l}, []net.Listener{l}
		refused(offers(t, socketOf("vacant"), vacant(), &mixed), "of different namespaces")
	})
	t.Run("249 a second enrolment beside the first", func(t *testing.T) {
		refused(offers(t, socketOf("victim"), victim.h.token, victim.h.socks), "the sandbox is enrolled")
	})
	t.Run("250 the next token with another namespace", func(t *testing.T) {
		refused(offers(t, socketOf("victim"), victim.h.token, free), "enrolled") // and see 258
	})
	t.Run("251 another user on an enrol socket", func(t *testing.T) {
		_ = os.Chmod(socketOf("vacant"), 0o666)
		script := `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(5); s.connect(sys.argv[1])
try: s.send(b"{}"); print("heard", s.recv(100))
except OSError as e: print("no way", e)`
		out, _ := exec.Command("setpriv", "--reuid", "23456", "--regid", "23456", "--clear-groups", "/usr/bin/python3", "-c", script, socketOf("vacant")).CombinedOutput()
		if strings.Contains(string(out), "error") {
			t.Errorf("%s", out)
		}
	})
	t.Run("252 an address that stands for a name elsewhere", func(t *testing.T) {
		elsewhere(t, p, victim, thief)
	})
	t.Run("253 commands on an enrol socket", func(t *testing.T) {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: socketOf("vacant"), Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = c.Write([]byte("PATCH /v1/sandboxes/thief HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\n{\"mode\":\"observe\"}\n"))
		b := make([]byte, 1024)
		n, _ := c.Read(b)
		var a sidecar.Enrolled
		if err := json.Unmarshal(b[:n], &a); err != nil || !strings.Contains(a.Error, "not an offer") {
			t.Errorf("%q", b[:n])
		}
	})
	t.Run("101 the control socket through the proxy", func(t *testing.T) {
		for _, target := range []string{"http://unix:" + s.control + ":/v1/status", "http://sallyport/v1/status", "http://127.0.0.1/v1/status"} {
			got := p.talk(t, thief.ns, "198.51.100.7", "GET "+target+" HTTP/1.1\r\nHost: sallyport\r\nConnection: close\r\n\r\n")
			if strings.Contains(got, "policies") || strings.Contains(got, " 200 ") {
				t.Errorf("%s: %s", target, got)
			}
		}
	})
	t.Run("101 abstract sockets of the host", func(t *testing.T) {
		name := fmt.Sprintf("@sallyport-%d", os.Getpid())
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var derr error
		inside(t, thief.ns, func() { _, derr = net.DialTimeout("unix", name, time.Second) })
		if !errors.Is(derr, unix.ECONNREFUSED) {
			t.Errorf("%v", derr)
		}
	})
	t.Run("256 a sandbox that is named like another's id", func(t *testing.T) {
		sb, err := client.Get(t.Context(), "victim")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Create(t.Context(), admin.Create{Name: sb.ID}); err == nil || !strings.Contains(err.Error(), "looks like an id") {
			t.Errorf("%v", err)
		}
	})
	t.Run("257 a name that another sandbox has", func(t *testing.T) {
		if _, err := client.Create(t.Context(), admin.Create{Name: "victim", Way: "join"}); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("%v", err)
		}
	})
	t.Run("258 a namespace in the place of one that is awaited", func(t *testing.T) {
		token := victim.h.token
		s.kill()
		s.begin() // nobody has come back yet: these hold by hand
		refused(offers(t, socketOf("victim"), token, free), "not the one that was enrolled first")
		refused(offers(t, socketOf("victim"), thief.h.token, victim.h.socks), "the token is not the one")
		refused(offers(t, socketOf("victim"), token, thief.h.socks), "not the one that was enrolled first")
		for _, g := range []*guest{victim, thief} {
			if _, err := g.h.enrol(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("259 the next token after the namespace has ended", func(t *testing.T) {
		token := thief.h.token
		_ = thief.h.conn.Close()
		until(t, "a token for the next", func() bool { _, err := os.Stat(filepath.Join(at("thief"), sidecar.TokenFile)); return err == nil })
		refused(offers(t, socketOf("thief"), token, free), "the token is not the one")
	})
	// After all that each is still itself, and the vacant place is vacant.
	if got := p.talk(t, victim.ns, "198.51.100.7", fmt.Sprintf("GET /echo HTTP/1.1\r\nHost: api.example.com:%d\r\nConnection: close\r\n\r\n", p.origin.PlainPort)); !strings.Contains(got, `"X-Tenant-Id":["t-victim"]`) {
		t.Errorf("the victim: %s", got)
	}
	if err := offers(t, socketOf("vacant"), vacant(), free); err != nil {
		t.Errorf("the vacant place: %v", err)
	}
	s.stop()
}

// elsewhere gives a name an address in one sandbox, and goes there from another.
func elsewhere(t *testing.T, p *place, victim, thief *guest) {
	var c net.Conn
	var err error
	inside(t, victim.ns, func() { c, err = net.Dial("udp", "198.18.0.1:53") })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := new(mdns.Msg)
	q.SetQuestion("api.example.com.", mdns.TypeA)
	answer, _, err := new(mdns.Client).ExchangeWithConn(q, &mdns.Conn{Conn: c})
	if err != nil || len(answer.Answer) != 1 {
		t.Fatalf("%v %v", answer, err)
	}
	addr := answer.Answer[0].(*mdns.A).A.String()
	get := fmt.Sprintf("GET /echo HTTP/1.1\r\nHost: api.example.com:%d\r\nConnection: close\r\n\r\n", p.origin.PlainPort)
	if got := p.talk(t, victim.ns, addr, get); !strings.Contains(got, "t-victim") {
		t.Errorf("the victim at %s: %s", addr, got)
	}
	if got := p.talk(t, thief.ns, addr, get); strings.Contains(got, " 200 ") {
		t.Errorf("the thief at %s: %s", addr, got)
	}
}
