package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/cmd/sidecar"
	"sallyport/origin"

	"golang.org/x/sys/unix"
)

// wrote is what a command writes.
func wrote(args ...string) string {
	out, _ := exec.Command(args[0], args[1:]...).CombinedOutput()
	return string(out)
}

// hostile 232: a relay is for loopback only, and is nothing without its sidecar,
// which may go and come.
func TestRelay(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		base := filepath.Dir(p.dir)
		sock, ca := filepath.Join(base, "run", "proxy.sock"), filepath.Join(base, "run", "told", "ca.pem")
		s := p.sidecar(t, fmt.Sprintf("sandboxes:\n  - {name: told, labels: {team: web}, props: {tenant: t-7}, policy: [web], explicit: {socket: %s}, ca: %s}\n", sock, ca))
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := l.Addr().String()
		_ = l.Close()
		b := p.spawn(t, binary, "relay", "--listen", at, "--to", sock)
		b.until("relaying " + at)
		get := func(url string) string {
			return wrote("curl", "-sS", "-m", "20", "--proxy", "http://"+at, "--cacert", ca, url)
		}
		for _, u := range []string{p.https("api.example.com", "/echo"), p.http("api.example.com", "/echo")} {
			if out := get(u); !strings.Contains(out, `"X-Tenant-Id":["t-7"]`) {
				t.Errorf("%s: %s", u, out)
			}
		}
		if out := get(p.https("other.example.com", "/")); !strings.Contains(out, "default_deny") {
			t.Errorf("what no rule allows: %s", out)
		}
		c, err := net.Dial("tcp", at) // the end is passed on
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: api.example.com:%d\r\nConnection: close\r\n\r\n", p.http("api.example.com", "/large?bytes=300000"), p.origin.PlainPort)
		if all, err := io.ReadAll(c); err != nil || len(all) < 300000 {
			t.Errorf("%d bytes, %v: %.400s", len(all), err, all)
		}
		_ = c.Close()
		s.kill()
		if out := get(p.http("api.example.com", "/")); !strings.Contains(out, "Empty reply") && !strings.Contains(out, "reset") {
			t.Errorf("without a sidecar: %s", out)
		}
		s.begin()
		if out := get(p.https("api.example.com", "/echo")); !strings.Contains(out, `"X-Tenant-Id":["t-7"]`) {
			t.Errorf("after a restart: %s", out)
		}
		for want, args := range map[string][]string{
			"Say --to PATH":                       {},
			"is not an absolute path":             {"--to", "x.sock"},
			"expected ADDRESS:PORT":               {"--to", sock, "--listen", "3128"},
			"0.0.0.0:3128 is no loopback address": {"--to", sock, "--listen", "0.0.0.0:3128"},
			"[::]:3128 is no loopback address":    {"--to", sock, "--listen", "[::]:3128"},
		} {
			if out := wrote(append([]string{"timeout", "5", binary, "relay"}, args...)...); !strings.Contains(out, want) {
				t.Errorf("%v: %s, want %q", args, out, want)
			}
		}
		s.stop()
		text := []byte("sandboxes:\n  - name: a\n    ca: ca.pem\n")
		if err := os.WriteFile(s.config, text, 0o644); err != nil {
			t.Fatal(err)
		}
		if out := p.exec("config", "check", s.config); !strings.Contains(out.stdout, `:3:9: sandboxes[0].ca: "ca.pem" is not an absolute path`) {
			t.Errorf("%+v", out)
		}
	})
}

// hostile 341: what the sidecar ends is reset by a relay, behind what was sent.
func TestRelayResets(t *testing.T) {
	for name, end := range map[string]func(*net.UnixConn){
		"closed":        func(u *net.UnixConn) { _, _ = u.Read(make([]byte, 99)) },
		"closed unread": func(*net.UnixConn) {},
		"ended first":   func(u *net.UnixConn) { _ = u.CloseWrite(); _, _ = u.Read(make([]byte, 99)) },
	} {
		sock := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", sock)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			u, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = u.Write([]byte("said"))
			end(u.(*net.UnixConn))
			_ = u.Close()
		}()
		front, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = relay(ctx, front, sock) }()
		c, err := net.Dial("tcp", front.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte("asked"))
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		until(t, name+": the reset", func() (reset bool) { // as those see it that look at what they can write
			_ = raw.Control(func(fd uintptr) {
				p := []unix.PollFd{{Fd: int32(fd)}}
				_, err := unix.Poll(p, 0)
				reset = err == nil && p[0].Revents&unix.POLLHUP != 0
			})
			return reset
		})
		b := make([]byte, 99)
		if n, err := io.ReadFull(c, b[:4]); string(b[:n]) != "said" || err != nil {
			t.Errorf("%s: %q %v", name, b[:n], err)
		}
	}
}

// hostile 234: a sidecar that cannot give its sockets away serves whom they are for,
// by the kernel's word, and nobody else.
func TestSocketsOfOthers(t *testing.T) {
	tool(t, "python3", "python3")
	if os.Getuid() != 0 {
		t.Skip("only root can be two other users")
	}
	p := newPlace(t, callers()[1], origin.Options{})
	base := filepath.Dir(p.dir)
	sock, dir := filepath.Join(base, "run", "proxy.sock"), filepath.Join(base, "run", "agent")
	s := p.sidecar(t, fmt.Sprintf("sandboxes:\n  - {name: told, labels: {team: web}, props: {tenant: t-7}, policy: [web], explicit: {socket: %s, user: 23456}}\n  - {name: agent, labels: {team: web}, props: {tenant: t-8}, policy: [web], enrol: {dir: %s, user: 23456}}\n", sock, dir))
	as := func(uid string) string {
		script := fmt.Sprintf(`
import socket
for path, kind, text in (("%s", socket.SOCK_STREAM, b"GET %s HTTP/1.1\r\nHost: api.example.com:%d\r\nConnection: close\r\n\r\n"), ("%s", socket.SOCK_SEQPACKET, b"x")):
    s = socket.socket(socket.AF_UNIX, kind); s.settimeout(10); s.connect(path)
    try: s.send(text); print("answered", s.recv(4096))
    except OSError: print("answered", b"")
`, sock, p.http("api.example.com", "/echo"), p.origin.PlainPort, filepath.Join(dir, sidecar.EnrolSocket))
		return wrote("setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "/usr/bin/python3", "-c", script)
	}
	if out := as("23456"); strings.Count(out, "answered b''") != 0 || !strings.Contains(out, "t-7") || !strings.Contains(out, `"error"`) {
		t.Errorf("whose they are: %s", out)
	}
	if out := as("34567"); strings.Count(out, "answered b''") != 2 {
		t.Errorf("somebody else: %s", out)
	}
	s.stop()
}
