package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
)

// A side is a sidecar that runs while a test does something to it.
type side struct {
	*place
	b       *background
	config  string
	control string
	asked   *admin.Client // by policy, reasons and until
}

// sidecar writes a configuration and starts serve with it.
func (p *place) sidecar(t *testing.T, more string) *side {
	t.Helper()
	base := filepath.Dir(p.dir)
	s := &side{place: p, config: filepath.Join(base, "sallyport.yaml"), control: filepath.Join(base, "run", "control.sock")}
	for name, text := range map[string]string{
		"web":    "package egress\n\nallow if {\n\tinput.sandbox.labels.team == \"web\"\n\tinput.destination.host == \"api.example.com\"\n}\n\ncredentials contains \"api\" if input.destination.scheme == \"https\"\n\nset_headers contains {\"name\": \"X-Tenant-Id\", \"value\": input.sandbox.props.tenant}\n",
		"strict": "package egress\n\nallow if input.request.method == \"GET\"\n",
		"raw":    "package egress.connect\n\nallow := true\n\nopaque := true\n",
	} {
		d := filepath.Join(base, "policies", name)
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "p.rego"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"state", "run"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
		if p.who.uid != 0 {
			_ = os.Chown(filepath.Join(base, d), p.who.uid, p.who.uid)
		}
	}
	text := fmt.Sprintf(`state: %[1]s/state/ca
control: {socket: %[2]s}
audit: {dir: %[3]s}
policies:
  - {name: web, dir: policies/web}
  - {name: strict, dir: policies/strict}
  - {name: raw, dir: policies/raw}
default_policy: [strict]
credentials:
  - {name: api, source: env:TOKEN, bind: "https://%[4]s"}
%[7]snetwork:
  allow_private: [127.0.0.0/8]
  upstream_ca: [%[5]s]
  resolve: {api.example.com: 127.0.0.1, other.example.com: 127.0.0.1}
drain_timeout: 2s
%[6]s`, base, s.control, p.log, p.at("api.example.com"), p.ca, more, p.credentials)
	if err := os.WriteFile(s.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "TOKEN="+canary)
	s.begin()
	return s
}

// begin starts serve, for the first time or again.
func (s *side) begin() {
	s.t.Helper()
	s.b = s.spawn(s.t, binary, "serve", "-c", s.config)
	for range 500 {
		if st, err := admin.NewClient(s.control).Status(s.t.Context()); err == nil && st.Ready {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("the sidecar is not ready:\n%s", s.b.out)
}

// kill ends the sidecar without its knowing.
func (s *side) kill() {
	s.t.Helper()
	_ = s.b.cmd.Process.Kill()
	_ = s.b.cmd.Wait()
}

// enrolled runs a shell script in a sandbox of the sidecar.
func (s *side) enrolled(flags []string, script string) output {
	s.t.Helper()
	args := append([]string{"run", "--sidecar", s.control}, flags...)
	return s.exec(append(args, "--", "/bin/sh", "-c", script)...)
}

// stop ends the sidecar as an operator would.
func (s *side) stop() {
	s.t.Helper()
	_ = s.b.cmd.Process.Signal(unix.SIGTERM)
	if err := s.b.cmd.Wait(); err != nil {
		s.t.Errorf("serve: %v\n%s", err, s.b.out)
	}
	s.verified()
}

// Two sandboxes beside one sidecar: each has its own policy and properties, and
// each record its own identity.
func TestSidecar(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		u := p.https("api.example.com", "/echo")
		web := s.enrolled([]string{"--name", "one", "--label", "team=web", "--prop", "tenant=t-1", "--policy", "web"}, "env; curl -sS "+u+"; curl -sS "+p.https("other.example.com", "/"))
		if !strings.Contains(web.stdout, `"X-Tenant-Id":["t-1"]`) || !strings.Contains(web.stdout, "[REDACTED:api]") || !strings.Contains(web.stdout, "default_deny") || web.code != 0 {
			t.Errorf("web: %+v", web)
		}
		strict := s.enrolled([]string{"--name", "two"}, "curl -sS "+u+"; curl -sS -d x=1 "+u)
		if strings.Contains(strict.stdout, "X-Tenant-Id") || !strings.Contains(strict.stdout, `"Method":"GET"`) || !strings.Contains(strict.stdout, "default_deny") {
			t.Errorf("strict: %+v", strict)
		}
		both := s.enrolled([]string{"--name", "three", "--label", "team=web", "--prop", "tenant=t-3", "--policy", "strict,web"}, "curl -sS "+u+"; curl -sS -d x=1 "+u)
		if !strings.Contains(both.stdout, `"X-Tenant-Id":["t-3"]`) || !strings.Contains(both.stdout, "default_deny") {
			t.Errorf("in layers: %+v", both)
		}
		if bad := s.enrolled([]string{"--policy", "nope"}, "echo ran"); bad.code != 125 || !strings.Contains(bad.stderr, `there is no policy "nope"`) || strings.Contains(bad.stdout, "ran") {
			t.Errorf("an unknown policy: %+v", bad)
		}
		if bad := s.enrolled([]string{"--allow", "x.example", "--audit", "/tmp/x"}, "echo ran"); bad.code != 125 || !strings.Contains(bad.stderr, "--allow, --audit: with --sidecar") {
			t.Errorf("a flag of the sidecar's: %+v", bad)
		}
		if out := p.exec("sandbox", "ls", "--control", s.control); out.code != 0 || strings.Count(out.stdout, "\n") != 1 {
			t.Errorf("sandboxes are left: %+v", out)
		}
		s.stop()
		for name, n := range map[string]int{"one": 2, "two": 2, "three": 2} {
			if got := len(p.find(map[string]string{"event.name": "egress.request.decision", "sandbox.name": name, "sandbox.identity.method": "run"})); got != n {
				t.Errorf("%s has %d decisions", name, got)
			}
		}
		for _, a := range []string{"create", "remove"} {
			if got := len(p.find(map[string]string{"event.name": "egress.control.change", "detail.action": a})); got != 3 {
				t.Errorf("%d times %s", got, a)
			}
		}
		p.noCanary(web, strict, both, output{0, s.b.out.String(), ""})
	})
}

// What an operator says reaches what is open, and what comes then.
func TestSidecarCommands(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		u := p.https("api.example.com", "/echo")
		b := p.spawn(t, binary, "run", "--sidecar", s.control, "--name", "box", "--", "/bin/sh", "-c", fmt.Sprintf(
			`until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }; for i in 1 2 3 4 5; do echo "$i: $(curl -sS %[1]s | cut -c1-60)"; until_file go$i; done; echo "$i: $(curl -sS %[1]s | cut -c1-60)"`, u))
		command := func(args ...string) output {
			t.Helper()
			out := p.exec(append(append([]string{"sandbox"}, args...), "--control", s.control)...)
			if out.code != 0 {
				t.Fatalf("%v: %+v", args, out)
			}
			return out
		}
		b.until(`1: {"Proto"`)
		command("pause", "box")
		b.tell("go1")
		b.until("2: sallyport: paused")
		command("resume", "box")
		b.tell("go2")
		b.until(`3: {"Proto"`)
		command("policy", "box", "web")
		b.tell("go3")
		b.until("4: sallyport: default_deny")
		command("label", "box", "team=web")
		if out := p.exec("sandbox", "policy", "box", "nope", "--control", s.control); out.code != 125 || !strings.Contains(out.stderr, `there is no policy "nope"`) {
			t.Errorf("%+v", out)
		}
		command("prop", "box", "tenant=t-9")
		b.tell("go4")
		b.until(`5: {"Proto"`)
		if out := command("show", "box"); !strings.Contains(out.stdout, `"tenant": "t-9"`) {
			t.Errorf("%+v", out)
		}
		if out := command("revoke", "box"); !strings.Contains(out.stdout, "box: revoked") {
			t.Errorf("%+v", out)
		}
		if out := p.exec("sandbox", "resume", "box", "--control", s.control); out.code == 0 || !strings.Contains(out.stderr, "is revoked, and stays so") {
			t.Errorf("%+v", out)
		}
		b.tell("go5")
		b.until("5: sallyport: revoked")
		_ = b.cmd.Wait()
		s.stop()
	})
}

// A reload is taken whole, or the old stays and says why.
func TestSidecarReload(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	s := p.sidecar(t, "")
	client := admin.NewClient(s.control)
	digest := func() string {
		st, err := client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range st.Policies {
			if x.Name == "strict" {
				return x.Digest + fmt.Sprint(st.Reasons)
			}
		}
		return ""
	}
	until := func(what string, done func(now string) bool) string {
		t.Helper()
		for range 500 {
			if now := digest(); done(now) {
				return now
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s: %s\n%s", what, digest(), s.b.out)
		return ""
	}
	u := p.https("api.example.com", "/echo")
	rego := filepath.Join(filepath.Dir(s.config), "policies", "strict", "p.rego")
	before := digest()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(rego, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("package egress\n\ndney contains \"x\"\n")
	until("a broken policy is not seen", func(now string) bool { return strings.Contains(now, "misspelt") && strings.HasPrefix(now, before[:64]) })
	if out := s.enrolled(nil, "curl -sS "+u); !strings.Contains(out.stdout, `"Method":"GET"`) {
		t.Errorf("the old policy does not decide: %+v", out)
	}
	write("package egress\n\nallow if input.request.path == \"/only\"\n")
	_ = s.b.cmd.Process.Signal(unix.SIGHUP)
	until("a new policy is not taken", func(now string) bool { return !strings.Contains(now, "misspelt") && now != before })
	if out := s.enrolled(nil, "curl -sS "+u); !strings.Contains(out.stdout, "default_deny") {
		t.Errorf("the new policy does not decide: %+v", out)
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), "127.0.0.0/8", "10.0.0.0/8", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	until("what needs a restart", func(now string) bool { return strings.Contains(now, "a change of network needs a restart") })
	s.stop()
	if n := len(p.find(map[string]string{"event.name": "egress.config.refused"})); n < 2 {
		t.Errorf("%d refused configurations are recorded", n)
	}
	if n := len(p.find(map[string]string{"event.name": "egress.config.loaded"})); n < 1 {
		t.Errorf("%d loaded configurations are recorded", n)
	}
}

// A proxy on a Unix socket is for one user, by the kernel's word.
func TestSidecarExplicit(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{})
	base := filepath.Dir(p.dir)
	sock := filepath.Join(base, "run", "proxy.sock")
	s := p.sidecar(t, fmt.Sprintf("sandboxes:\n  - name: told\n    labels: {team: web}\n    props: {tenant: t-7}\n    policy: [web]\n    explicit: {socket: %s, user: %d}\n", sock, os.Getuid()))
	ca := p.exec("ca", "export", "--control", s.control)
	if show := p.exec("ca", "show", "--control", s.control); !strings.Contains(ca.stdout, "BEGIN CERTIFICATE") || !strings.Contains(show.stdout, "sha256 ") {
		t.Errorf("%+v %+v", ca, show)
	}
	c, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET http://api.example.com:%[1]d/echo HTTP/1.1\r\nHost: api.example.com:%[1]d\r\nConnection: close\r\n\r\n", p.origin.PlainPort)
	out, err := io.ReadAll(c)
	if !strings.Contains(string(out), `"X-Tenant-Id":["t-7"]`) {
		t.Errorf("%s %v", out, err)
	}
	s.stop()
	if n := len(p.find(map[string]string{"event.name": "egress.request.decision", "sandbox.name": "told", "sandbox.identity.method": "explicit"})); n != 1 {
		t.Errorf("%d decisions are recorded", n)
	}
}

// Who may not command, and what is no way to: hostile 100, 101.
func TestSidecarIsNotCommandedBySandboxes(t *testing.T) {
	tool(t, "python3", "python3")
	tool(t, "setpriv", "util-linux")
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "")
	out := s.enrolled([]string{"--env", "CONTROL=" + s.control}, `/usr/bin/python3 -c '
import os, socket
for p in (os.environ["CONTROL"], "/run/sallyport/control.sock"):
    c = socket.socket(socket.AF_UNIX)
    try: c.connect(p); print("CONNECTED")
    except OSError as e: print("no way", e.errno)
'; ls -d `+filepath.Dir(s.control)+` 2>&1; curl -sS http://127.0.0.1:1/v1/status http://sallyport/v1/status`)
	if strings.Contains(out.stdout, "CONNECTED") || strings.Contains(out.stdout, "policies") || strings.Count(out.stdout, "no way") != 2 {
		t.Errorf("%+v", out)
	}
	if os.Getuid() == 0 { // another user
		cmd := exec.Command("setpriv", "--reuid", "23456", "--regid", "23456", "--clear-groups", binary, "status", "--control", s.control)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "may not command") {
			t.Errorf("%s %v", out, err)
		}
	}
	client := admin.NewClient(s.control)
	made, err := client.Create(t.Context(), admin.Create{Name: "victim"})
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string, fds ...int) string {
		t.Helper()
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: made.Ticket.Socket, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, _, err := c.WriteMsgUnix([]byte(text), unix.UnixRights(fds...), nil); err != nil {
			return err.Error()
		}
		b := make([]byte, 1024)
		n, _ := c.Read(b)
		return string(b[:n])
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	f, err := tcp.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	fd := int(f.Fd())
	good, _ := json.Marshal(map[string]any{"token": made.Ticket.Token, "TCP": 1, "Explicit": 0, "DNS": 1, "DNSTCP": 1, "Log": 1})
	for name, c := range map[string]struct {
		text string
		fds  []int
		want string
	}{
		"nothing":            {"", nil, "it is not an offer"},
		"no JSON":            {"GET /v1/sandboxes HTTP/1.1\r\n\r\n", nil, "it is not an offer"},
		"a command":          {`{"name":"x"}`, nil, "it is not an offer"},
		"no descriptors":     {string(good), nil, "0 descriptors came instead of 4"},
		"too many":           {string(good), []int{fd, fd, fd, fd, fd}, "5 descriptors came instead of 4"},
		"far too many":       {string(good), slicesOf(fd, 40), "too many descriptors"},
		"the wrong type":     {string(good), []int{fd, fd, fd, fd}, "descriptor 0"},
		"a file":             {string(good), []int{int(mustOpen(t, "/dev/null").Fd()), fd, fd, fd}, "it is no Internet socket"},
		"more than there is": {`{"token":"x","TCP":1000000,"DNS":1,"DNSTCP":1,"Log":1}`, []int{fd}, "the sockets of a sealed namespace"},
		"too long":           {strings.Repeat(" ", 5000), nil, "it is too long"},
	} {
		if got := say(c.text, c.fds...); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	// The sidecar is well, and the token was not spent by any of that.
	if st, err := client.Status(context.Background()); err != nil || !st.Ready {
		t.Errorf("%+v %v", st, err)
	}
	if err := client.Remove(t.Context(), "victim"); err != nil {
		t.Error(err)
	}
	s.stop()
	if n := len(p.find(map[string]string{"event.name": "egress.sandbox.enrol_refused"})); n != 8 { // three of them are alike, and counted
		t.Errorf("%d refused enrolments are recorded", n)
	}
}

func slicesOf(fd, n int) (out []int) {
	for range n {
		out = append(out, fd)
	}
	return out
}

func mustOpen(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// The sandboxes of a configuration follow it: changed, added and dropped.
func TestSidecarFollowsItsSandboxes(t *testing.T) {
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	run := filepath.Join(filepath.Dir(p.dir), "run")
	entry := func(name, mode, more string) string {
		return fmt.Sprintf("  - {name: %[1]s, mode: %[2]s, explicit: {socket: %[3]s/%[1]s.sock}%[4]s}\n", name, mode, run, more)
	}
	s := p.sidecar(t, "sandboxes:\n"+entry("stays", "observe", "")+entry("goes", "enforce", "")+entry("named", "enforce", ", policy: [raw]"))
	client := admin.NewClient(s.control)
	get := func(name string) admin.Sandbox {
		sb, err := client.Get(t.Context(), name)
		if err != nil {
			sb.State = err.Error()
		}
		return sb
	}
	before := get("stays")
	if before.Mode != "observe" || get("goes").State != "active" {
		t.Fatalf("%+v %+v", before, get("goes"))
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "sandboxes:\n")
	head = strings.Replace(head, "default_policy: [strict]", "default_policy: [web]", 1)
	head = strings.Replace(head, "drain_timeout: 2s", "drain_timeout: 3s", 1)
	if err := os.WriteFile(s.config, []byte(head+"sandboxes:\n"+entry("stays", "sealed", ", props: {tenant: t-1}")+entry("comes", "enforce", ", labels: {team: web}, props: {tenant: t-2}")+entry("named", "enforce", ", policy: [raw]")), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if get("stays").Mode == "sealed" && get("comes").State == "active" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if sb := get("stays"); sb.Mode != "sealed" || sb.ID != before.ID || sb.Policy[0] != "web" {
		t.Errorf("%+v\n%s", sb, s.b.out)
	}
	if sb := get("comes"); sb.State != "active" || sb.Labels["team"] != "web" {
		t.Errorf("%+v", sb)
	}
	if sb := get("goes"); !strings.Contains(sb.State, "there is no such sandbox") {
		t.Errorf("%+v", sb)
	}
	if sb := get("named"); sb.Policy[0] != "raw" {
		t.Errorf("%+v", sb)
	}
	if _, err := os.Stat(filepath.Join(run, "goes.sock")); err == nil {
		t.Error("the socket of one that went is there")
	}
	s.stop()
}
