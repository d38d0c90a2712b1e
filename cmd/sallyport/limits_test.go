package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"sallyport/admin"
	"sallyport/origin"
)

// hostile 215: limits of the configuration, of who made a sandbox and of an
// operator reach it while it runs, and stay over a restart.
func TestLimitsAreChanged(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "limits: {requests: 300}\nsandboxes:\n  - {name: fixed, limits: {rate: 7, connections: 9}}\n")
		ask := func(args ...string) output { t.Helper(); return p.exec(append(args, "--control", s.control)...) }
		shown := func(name string) admin.Limits {
			t.Helper()
			sb, err := admin.NewClient(s.control).Get(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			return sb.Limits
		}
		if l := shown("fixed"); l != (admin.Limits{Connections: 9, Rate: 7}) {
			t.Errorf("%+v", l)
		}
		var st admin.Status
		if err := json.Unmarshal([]byte(ask("status", "--json").stdout), &st); err != nil || st.Limits != (admin.Limits{Connections: 4096, Requests: 300}) {
			t.Errorf("%+v %v", st.Limits, err)
		}
		u := p.https("api.example.com", "/echo")
		b := p.spawn(t, binary, "run", "--sidecar", s.control, "--name", "box", "--", "/bin/sh", "-c", fmt.Sprintf(
			`until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }; ask() { for i in 1 2 3 4 5 6; do curl -sS -o /dev/null -w '%%{http_code} ' %[1]s; done; curl -sS -w '\n' %[1]s | cut -c1-40; }
echo "a $(ask)"; until_file go1; echo "b $(ask)"; until_file go2; sleep 1; echo "c $(ask)"; until_file go3; echo "d $(ask)"`, u))
		b.until("a 200 200 200 200 200 200 {")
		if out := ask("sandbox", "limit", "box", "rate=2", "connections=50"); out.code != 0 || shown("box") != (admin.Limits{Connections: 50, Rate: 2}) {
			t.Errorf("%+v", out)
		}
		b.tell("go1")
		b.until("b 200 200")
		b.until("429 ")
		s.stop()
		s.begin()
		if l := shown("box"); l != (admin.Limits{Connections: 50, Rate: 2}) {
			t.Errorf("after a restart: %+v", l)
		}
		b.until("back")
		b.tell("go2")
		b.until("c 200 200")
		if out := ask("sandbox", "limit", "box", "rate-", "requests=5"); out.code != 0 || shown("box") != (admin.Limits{Connections: 50, Requests: 5}) {
			t.Errorf("%+v", out)
		}
		b.tell("go3")
		b.until("d 200 200 200 200 200 200 {")
		for args, want := range map[string]string{
			"rate=-1":          "limits.rate -1: expected 1 to 1000000, or 0 for the default",
			"requests=70000":   "limits.requests 70000: expected 1 to 65536",
			"speed=5":          `limit "speed=5": expected connections=N, requests=N, rate=N, tunnel_idle=TIME or tunnel_life=TIME`,
			"rate":             `limit "rate": expected`,
			"rate=fast":        `limit "rate=fast": expected`,
			"tunnel_idle=5":    `limit "tunnel_idle=5": expected`,
			"tunnel_life=-5s":  `limit "tunnel_life=-5s": expected`,
			"tunnel_idle=8d":   `limit "tunnel_idle=8d": expected`,
			"tunnel_idle=800h": "limits.tunnel_idle 2880000: expected 1 to 604800",
		} {
			if out := ask("sandbox", "limit", "fixed", args); out.code != 125 || !strings.Contains(out.stderr, want) {
				t.Errorf("%s: %+v", args, out)
			}
		}
		if out := ask("sandbox", "create", "made", "--limit", "rate=3", "--limit", "requests=8", "--limit", "tunnel_idle=90m"); out.code != 0 || shown("made") != (admin.Limits{Requests: 8, Rate: 3, TunnelIdle: 5400}) {
			t.Errorf("%+v", out)
		}
		if out := ask("sandbox", "create", "not", "--limit", "rate=-3"); out.code != 125 || !strings.Contains(out.stderr, "limits.rate -3: expected 1 to 1000000") {
			t.Errorf("%+v", out)
		}
		_ = b.cmd.Wait()
		s.stop()
		if n := len(p.find(map[string]string{"event.name": "egress.control.change", "detail.action": "change", "sandbox.name": "box"})); n != 2 {
			t.Errorf("%d changes are recorded", n)
		}
		if len(p.find(map[string]string{"policy.code": "rate_exceeded", "sandbox.name": "box"})) < 2 {
			t.Error("refusals are not recorded")
		}
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), "rate: 7", "rate: 7000000", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := p.exec("config", "check", s.config); out.code != 1 || !strings.Contains(out.stdout, "sandboxes[0].limits.rate: 7000000 is more than 1000000, which is the most") {
			t.Errorf("%+v", out)
		}
	})
}

// How long tunnels last is said for all sandboxes and for one, and how often it is
// recorded what passes in them.
func TestTunnelLimitsAreSaid(t *testing.T) {
	tool(t, "python3", "python3")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	s := p.sidecar(t, "limits: {tunnel_life: 3s, tunnel_idle: 2h}\n")
	s.anew(t, replace("audit: {", "audit: {progress: 300ms, "))
	if out := p.exec("status", "--control", s.control); !strings.Contains(out.stdout, "tunnels idle for 2h 0m at most, tunnels open for 3s at most") {
		t.Errorf("%+v", out)
	}
	script := fmt.Sprintf(`import socket, sys, time
c = socket.create_connection(("api.example.com", %d)); begin = time.time(); c.settimeout(20); print("up", flush=True)
try:
    while True:
        if sys.argv[1] == "talks": c.sendall(b"x"); c.recv(9); time.sleep(.1)
        elif not c.recv(9): break
    print("CLEAN")
except ConnectionError as e: print(type(e).__name__, time.time() - begin >= float(sys.argv[2]))
`, l.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct{ name, limit, does, least, want string }{{"first", "tunnel_idle=1s", "waits", "0.5", "idle"}, {"second", "", "talks", "2", "life"}, {"third", "tunnel_life=1s", "waits", "0.5", "life"}} {
		b := p.spawn(t, binary, "run", "--sidecar", s.control, "--name", c.name, "--policy", "raw", "--", "/usr/bin/python3", "-c", script, c.does, c.least)
		b.until("up")
		if c.limit != "" { // it reaches what is open
			if out := p.exec("sandbox", "limit", c.name, c.limit, "--control", s.control); out.code != 0 || !strings.Contains(out.stdout, strings.Replace(c.limit, "=", " ", 1)) {
				t.Errorf("%+v", out)
			}
		}
		b.until(" True")
		until(t, "its record", func() bool {
			return len(p.find(map[string]string{"event.name": "egress.tunnel.close", "sandbox.name": c.name, "error.type": c.want})) == 1
		})
	}
	if n := len(p.find(map[string]string{"event.name": "egress.tunnel.progress", "sandbox.name": "second"})); n < 3 {
		t.Errorf("its progress is recorded %d times", n)
	}
	s.stop()
}
