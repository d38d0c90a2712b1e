package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
)

// A sidecar without privilege cannot give its sockets to those who use them: the
// kernel says who connects, and others are sent away: hostile 211.
func TestConfinedSidecarServesOthers(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "python3", "python3")
	tool(t, "setpriv", "util-linux")
	if os.Getuid() != 0 {
		t.Skip("only root has other users")
	}
	p := newPlace(t, callers()[0], origin.Options{}) // root starts serve, and an ordinary user is served
	for _, d := range []string{p.dir, filepath.Join(filepath.Dir(p.dir), "home")} {
		if err := os.Chown(d, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}
	told := filepath.Join(filepath.Dir(p.dir), "run", "told.sock")
	s := p.sidecar(t, fmt.Sprintf("user: \"23456\"\nsandboxes:\n  - {name: told, explicit: {socket: %s, user: 12345}}\n", told))
	s.anew(t, func(text string) string {
		return strings.Replace(text, "control: {", "control: {users: [12345, 65534], ", 1)
	})
	for path, mode := range map[string]fs.FileMode{s.control: 0o666, told: 0o666, filepath.Dir(s.control): 0o755} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode || owner(st) != 23456 {
			t.Errorf("%s: %v %v", path, st.Mode(), err)
		}
	}
	p.who.uid = 12345
	out := s.enrolled([]string{"--name", "one"}, "curl -sS "+p.https("api.example.com", "/echo"))
	if out.code != 0 || !strings.Contains(out.stdout, `"Method":"GET"`) {
		t.Errorf("another user does not enrol: %+v", out)
	}
	enrol := filepath.Join(filepath.Dir(s.control), "enrol")
	if st, err := os.Stat(enrol); err != nil || st.Mode().Perm() != 0o711 {
		t.Errorf("those who wait can be listed: %v %v", st, err)
	}
	as := func(uid int, args ...string) string {
		t.Helper()
		cmd := exec.Command("setpriv", append([]string{"--reuid", fmt.Sprint(uid), "--regid", fmt.Sprint(uid), "--clear-groups"}, args...)...)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	// The id that stands for those who have none is somebody's here, who may command;
	// that is asked of /proc, which has to be left to read.
	for uid, may := range map[int]bool{12345: true, 65534: true, 23456: true, 34567: false} {
		if out := as(uid, binary, "status", "--control", s.control); strings.HasPrefix(out, "ready\n") != may {
			t.Errorf("user %d: %s", uid, out)
		}
	}
	ask := fmt.Sprintf("import socket\nc = socket.socket(socket.AF_UNIX); c.connect(%q)\ntry:\n c.sendall(b'GET http://api.example.com:%d/ HTTP/1.1\\r\\nHost: api.example.com:%[2]d\\r\\nConnection: close\\r\\n\\r\\n')\n print(c.recv(100).decode().split('\\r')[0] or 'sent away')\nexcept OSError: print('sent away')", told, p.origin.PlainPort)
	for uid, want := range map[int]string{12345: "HTTP/1.1 200", 34567: "sent away", 23456: "sent away"} {
		if out := as(uid, "/usr/bin/python3", "-c", ask); !strings.HasPrefix(out, want) {
			t.Errorf("the proxy of user 12345, as user %d: %q", uid, out)
		}
	}
	// An enrol socket that anybody can connect to takes nothing from others.
	made, err := admin.NewClient(s.control).Create(t.Context(), admin.Create{Name: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	offer := fmt.Sprintf("import socket\nc = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); c.connect(%q)\ntry:\n c.sendall(b'{}')\n print(c.recv(100).decode() or 'sent away')\nexcept OSError: print('sent away')", made.Ticket.Socket)
	if out := as(34567, "/usr/bin/python3", "-c", offer); !strings.HasPrefix(out, "sent away") {
		t.Errorf("an offer of another user: %q", out)
	}
	if out := as(0, "/usr/bin/python3", "-c", offer); !strings.Contains(out, "the offer is not taken") {
		t.Errorf("an offer of who asked: %q", out)
	}
	s.stop()
}

// Capabilities that an ordinary user was lent, as a unit of systemd or a container
// does, are given up like root's.
func TestLentCapabilitiesGo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root lends capabilities")
	}
	p := newPlace(t, callers()[1], origin.Options{})
	s := p.sidecar(t, "")
	s.stop()
	cmd := exec.Command(binary, "serve", "-c", s.config)
	cmd.Dir, cmd.Env, cmd.Stderr = p.dir, p.env, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: 12345, Gid: 12345, Groups: []uint32{}},
		AmbientCaps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s.b.cmd = cmd
	until(t, "ready", func() bool {
		st, err := admin.NewClient(s.control).Status(t.Context())
		return err == nil && st.Ready
	})
	s.confinedAs(t, starting{"lent", caller{"user", 12345}, "", 12345})
	s.stop()
}

// A reload that names what serve did not leave itself is not taken, says so, and
// the configuration before it stays in force.
func TestReloadOutsideNeedsARestart(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		far, err := os.MkdirTemp("", "sallyport-far")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(far)
		if err := os.Chmod(far, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"policy/p.rego": "package egress\n\nallow if input.request.path == \"/far\"\n", "token": "far-" + canary} {
			path := filepath.Join(far, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s := p.sidecar(t, "")
		client := admin.NewClient(s.control)
		reasons := func() string {
			st, err := client.Status(t.Context())
			if err != nil {
				return err.Error()
			}
			return strings.Join(st.Reasons, "\n")
		}
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		write := func(old, new string) string {
			t.Helper()
			out := strings.Replace(string(text), old, new, 1)
			if out == string(text) {
				t.Fatalf("%q is not there", old)
			}
			if err := os.WriteFile(s.config, []byte(out), 0o644); err != nil {
				t.Fatal(err)
			}
			return out
		}
		for old, c := range map[string]struct{ new, want string }{
			"dir: policies/strict": {"dir: " + far + "/policy", "policies[1].dir: " + far + "/policy: it lies outside of what this process left itself to read at its start: restart it, or name a directory above it in confine.read"},
			"source: env:TOKEN":    {"source: \"file:" + far + "/token\"", "credentials[0].source: " + far + "/token: it lies outside"},
			"drain_timeout: 2s":    {"drain_timeout: 2s\nsandboxes: [{name: told, explicit: {socket: " + far + "/x.sock}}]", "sandboxes[0].explicit.socket: " + far + "/x.sock: its directory lies outside of what this process left itself for sockets at its start: restart it"},
			"default_policy: ":     {"sandboxes: [{name: joins, enrol: {dir: " + far + "/enrol}}]\ndefault_policy: ", "sandboxes[0].enrol.dir: " + far + "/enrol: it lies outside of what this process left itself to write at its start: restart it"},
			"state: ":              {"confine: {read: [" + far + "]}\nstate: ", "a change of confine needs a restart"},
			"control: {":           {"user: nobody\ncontrol: {", "a change of user needs a restart"},
		} {
			write(old, c.new)
			until(t, c.want, func() bool { return strings.Contains(reasons(), c.want) })
			if out := s.enrolled(nil, "curl -sS "+p.https("api.example.com", "/echo")); !strings.Contains(out.stdout, `"Method":"GET"`) {
				t.Errorf("the configuration before does not stay in force: %+v\n%s", out, reasons())
			}
		}
		// With a directory above it named, a link to a policy may lead anywhere below.
		link := filepath.Join(far, "current")
		if err := os.Symlink("policy", link); err != nil {
			t.Fatal(err)
		}
		s.anew(t, func(string) string {
			return strings.Replace(string(text), "dir: policies/strict", "dir: "+link, 1) + "confine: {read: [" + far + "]}\n"
		})
		next := filepath.Join(far, "next")
		if err := os.Mkdir(next, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(next, "p.rego"), []byte("package egress\n\nallow if input.request.path == \"/next\"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("next", link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
		until(t, "a link that leads to another policy", func() bool {
			return strings.Contains(s.enrolled(nil, "curl -sS "+p.https("api.example.com", "/next")).stdout, `"Method":"GET"`)
		})
		s.stop()
	})
}

// What cannot be confined is said where it stands, before anything starts.
func TestConfinementIsChecked(t *testing.T) {
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	base := filepath.Dir(p.dir)
	if err := os.MkdirAll(filepath.Join(base, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(base, "wrong.yaml")
	whole := "state: " + base + "/state\naudit: {dir: " + p.log + "}\ncontrol: {socket: " + base + "/run/c.sock}\n"
	for text, want := range map[string]string{
		whole + "user: who-is-this\n":                                       file + `:4:7: user: there is no user "who-is-this" in /etc/passwd`,
		whole + "user: root\n":                                              file + ":4:7: user: root is root: name a user that has no privilege",
		whole + "user: 0\n":                                                 "user: 0 is root",
		whole + "confine: {read: [/]}\n":                                    file + ":4:18: confine.read[0]: everything lies below it",
		whole + "confine: {read: [missing]}\n":                              "confine.read[0]: " + base + "/missing: no such file or directory",
		whole + "confine: {write: [/x]}\n":                                  "confine.write: there is no such key",
		"state: /var/lib\n":                                                 file + ":1:8: state: the directory /var/lib holds much else: use one of its own",
		"audit: {dir: /tmp}\n":                                              "audit.dir: the directory /tmp holds much else",
		"control: {socket: /run/control.sock}\n":                            "control.socket: the directory /run holds much else",
		"control: {socket: /var/run/c.sock}\n":                              "control.socket: the directory /var/run holds much else",
		whole + "sandboxes: [{name: a, explicit: {socket: /tmp/a.sock}}]\n": "sandboxes[0].explicit.socket: the directory /tmp holds much else",
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := p.exec("config", "check", file); out.code != 1 || !strings.Contains(out.stdout, want) {
			t.Errorf("%s%+v", text, out)
		}
		if out := p.exec("serve", "-c", file); out.code != 125 || !strings.Contains(out.stderr, want) {
			t.Errorf("%s%+v", text, out)
		}
	}
	if os.Getuid() != 0 {
		return
	}
	p.who.uid = 0
	if err := errors.Join(os.WriteFile(file, []byte(whole+"user: \"34567\"\n"), 0o600), os.Chmod(file, 0o600), os.Chown(p.log, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if out := p.exec("serve", "-c", file); out.code != 125 || !strings.Contains(out.stderr, "user 34567, as whom serve is to run, may not read "+file+" (mode 0600") {
		t.Errorf("%+v", out)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	p.who.uid = 12345
	if out := p.exec("serve", "-c", file); out.code != 125 || !strings.Contains(out.stderr, file+":4:7: user: only root can start serve as another user; this is user 12345") {
		t.Errorf("%+v", out)
	}
}
