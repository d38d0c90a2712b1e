package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sallyport/origin"
)

// A table is what the cells share.
type table struct {
	t      *testing.T // the whole test
	kit    string     // files for clients
	repo   string     // that ssh serves
	origin *origin.Origin
	ports  map[string]int

	once sync.Once
	side *side
}

// place is one whose working directory has the kit in it.
func (tb *table) place(t *testing.T, who caller) *place {
	t.Helper()
	p := newPlace(t, who, origin.Options{})
	p.origin = tb.origin
	if err := os.WriteFile(p.ca, tb.origin.CAPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	kit := filepath.Join(p.dir, "kit")
	if out, err := exec.Command("cp", "-r", tb.kit, kit).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	if who.uid != 0 {
		if out, err := exec.Command("chown", "-R", fmt.Sprint(who.uid), kit).CombinedOutput(); err != nil {
			t.Fatalf("%s%v", out, err)
		}
	}
	for name, text := range map[string]string{"egress": tablePolicy, "connect": tableConnectPolicy, "names": tableNamesPolicy} {
		d := filepath.Join(filepath.Dir(p.dir), "policies", "table")
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, name+".rego"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// before is what each script begins with.
func (tb *table) before(p *place, more ...string) string {
	return fmt.Sprintf("export KIT=%s/kit TLS=%d PLAIN=%d LOGIN=%s REPO=%s %s\n", p.dir, tb.origin.TLSPort, tb.origin.PlainPort, tb.login(), tb.repo, strings.Join(more, " "))
}

// bindings are the names that exist inside only.
func (tb *table) bindings(write func(name, to string)) {
	for _, p := range rows() {
		if p.at != 0 {
			write(fmt.Sprintf("%s:%d", p.host(), p.at), fmt.Sprintf("127.0.0.1:%d", p.port(tb)))
		}
	}
}

func (tb *table) run(t *testing.T, who caller) *boxed {
	p := tb.place(t, who)
	args := []string{binary, "run", "--audit", p.log, "--allow-private", "127.0.0.0/8", "--upstream-ca", p.ca, "--resolver", fmt.Sprintf("udp://127.0.0.1:%d", tb.ports["dns"]), "--policy", filepath.Join(filepath.Dir(p.dir), "policies", "table")}
	tb.bindings(func(name, to string) { args = append(args, "--bind", name+"="+to) })
	return p.agent(t, tb.before(p), append(args, "--")...)
}

// sidecar is the one beside all sandboxes of the table that have one; it ends with
// the whole test.
func (tb *table) sidecar() *side {
	tb.once.Do(func() {
		p := tb.place(tb.t, callers()[0])
		base := filepath.Dir(p.dir)
		s := &side{place: p, config: filepath.Join(base, "sallyport.yaml"), control: filepath.Join(base, "run", "control.sock")}
		bound, at := "bindings: {", func(name string) string { return filepath.Join(base, "run", name) }
		tb.bindings(func(name, to string) { bound += fmt.Sprintf("%q: %q, ", name, to) })
		bound = strings.TrimSuffix(bound, ", ") + "}"
		tb.ports["proxy"] = freePort(tb.t)
		text := fmt.Sprintf("state: %s/state/ca\ncontrol: {socket: %s}\naudit: {dir: %s}\npolicies: [{name: table, dir: policies/table}]\ndefault_policy: [table]\ndrain_timeout: 2s\n", base, s.control, p.log) +
			fmt.Sprintf("network:\n  allow_private: [127.0.0.0/8]\n  upstream_ca: [%s]\n  resolvers: [\"udp://127.0.0.1:%d\"]\nsandboxes:\n", p.ca, tb.ports["dns"]) +
			fmt.Sprintf("  - {name: join, enrol: {dir: %s}, %s}\n", at("join"), bound) +
			fmt.Sprintf("  - {name: attach, enrol: {dir: %s, way: attach}, %s}\n", at("attach"), bound) +
			fmt.Sprintf("  - {name: gateway, enrol: {dir: %s, way: gateway}, %s}\n", at("gateway"), bound) +
			fmt.Sprintf("  - {name: proxy, explicit: {listen: \"127.0.0.1:%d\", token: \"env:PROXY_TOKEN\"}, %s}\n", tb.ports["proxy"], bound) +
			fmt.Sprintf("  - {name: proxy-unix, explicit: {socket: %s}, %s}\n", at("proxy.sock"), bound)
		p.env = append(p.env, "PROXY_TOKEN="+tokenOne)
		for _, d := range []string{"state", "run"} {
			if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
				tb.t.Fatal(err)
			}
		}
		if err := os.WriteFile(s.config, []byte(text), 0o644); err != nil {
			tb.t.Fatal(err)
		}
		s.begin()
		if out := p.exec("ca", "export", "--control", s.control); out.code != 0 || os.WriteFile(at("ca.pem"), []byte(out.stdout), 0o644) != nil {
			tb.t.Fatalf("%+v", out)
		}
		for _, e := range p.env { // Chromium has a trust store of its own
			if home, ok := strings.CutPrefix(e, "HOME="); ok {
				db := filepath.Join(home, ".pki", "nssdb")
				must(tb.t, 0, "mkdir", "-p", db)
				must(tb.t, 0, "certutil", "-d", "sql:"+db, "-N", "--empty-password")
				must(tb.t, 0, "certutil", "-d", "sql:"+db, "-A", "-t", "C,,", "-n", "sallyport", "-i", at("ca.pem"))
			}
		}
		tb.side = s
	})
	if tb.side == nil {
		tb.t.Fatal("there is no sidecar")
	}
	return tb.side
}

// at is a path in the sidecar's directory of sockets.
func (s *side) at(name string) string { return filepath.Join(filepath.Dir(s.control), name) }

// trust are the lines that clients are given which trust the CA in no other way.
func (s *side) trust(t *testing.T, flags ...string) []string {
	t.Helper()
	out := s.exec(append([]string{"ca", "env", "--ca", s.at("ca.pem")}, flags...)...)
	if out.code != 0 {
		t.Fatalf("%+v", out)
	}
	return strings.Fields(out.stdout)
}

func (tb *table) enrolled(t *testing.T) *boxed {
	s := tb.sidecar()
	args := []string{binary, "run", "--sidecar", s.control, "--name", "run"}
	tb.bindings(func(name, to string) { args = append(args, "--bind", name+"="+to) })
	in := s.place.agent(t, tb.before(s.place), append(args, "--")...)
	in.sandbox = "run"
	return in
}

func (tb *table) joined(t *testing.T) *boxed {
	s := tb.sidecar()
	args := contained(s.who, "join", "--system-files", "no", "--enrol", s.at("join"), "--")
	args = append([]string{args[0], "--mount"}, args[1:]...) // before the binary, a name server of its own
	for i, a := range args {
		if a == binary {
			args = append(append(args[:i:i], "/bin/sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, filepath.Join(s.dir, "kit", "resolv.conf")), args[i:]...)
			break
		}
	}
	in := s.place.agent(t, tb.before(s.place), args...)
	in.sandbox = "join"
	return in
}

// attached is a namespace that somebody else made, with a link or without.
func (tb *table) attached(t *testing.T, way string) *boxed {
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	s := tb.sidecar()
	ns := fmt.Sprintf("tb%d%s", os.Getpid(), way[:1])
	attachable(t, ns)
	s.spawn(t, binary, way, "--netns", "/run/netns/"+ns, "--enrol", s.at(way), "--stay").until("is sealed")
	in := s.place.agent(t, tb.before(s.place, s.trust(t)...), "ip", "netns", "exec", ns, "/bin/sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, filepath.Join(s.dir, "kit", "resolv.conf"))
	in.sandbox = way
	return in
}

func (tb *table) toldTCP(t *testing.T, scheme string) *boxed {
	kit := filepath.Join(tb.sidecar().dir, "kit")
	return tb.told(t, "proxy", fmt.Sprintf("%s://127.0.0.1:%d", scheme, tb.ports["proxy"]), fmt.Sprintf(`THROUGH="/usr/bin/python3 %s/tunnel.py"`, kit), "--token", "env:PROXY_TOKEN")
}

func (tb *table) toldUnix(t *testing.T, scheme string) *boxed {
	s := tb.sidecar()
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	s.spawn(t, binary, "relay", "--listen", at, "--to", s.at("proxy.sock")).until("relaying")
	how := map[string]string{"http": "connect", "socks5h": "5"}[scheme]
	return tb.told(t, "proxy-unix", scheme+"://"+at, fmt.Sprintf(`THROUGH="nc -X %s -x %s"`, how, at))
}

// told is a client outside that was told of a proxy.
func (tb *table) told(t *testing.T, sandbox, proxy, through string, flags ...string) *boxed {
	t.Helper()
	s := tb.sidecar()
	lines := s.trust(t, append([]string{"--proxy", proxy}, flags...)...)
	for _, l := range lines {
		if name, url, _ := strings.Cut(l, "="); name == "HTTPS_PROXY" || name == "ALL_PROXY" {
			lines = append(lines, "PROXY="+url)
		}
	}
	in := s.place.agent(t, tb.before(s.place, append(lines, through)...), "env")
	in.sandbox = sandbox
	return in
}
