package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// told asks through a proxy on a Unix socket, and says that it is another.
const told = `
import os, re, socket, ssl, sys, time
while not os.path.exists("go"): time.sleep(0.02)
for i in range(3):
    c = socket.socket(socket.AF_UNIX); c.settimeout(20); c.connect(sys.argv[1])
    c.sendall(("CONNECT api.example.com:%s HTTP/1.1\r\nHost: api.example.com:%s\r\n\r\n" % (sys.argv[3], sys.argv[3])).encode())
    assert b" 200 " in c.recv(4096)
    c = ssl.create_default_context(cafile=sys.argv[2]).wrap_socket(c, server_hostname="api.example.com")
    c.sendall(("GET /echo HTTP/1.1\r\nHost: api.example.com:%s\r\nX-Tenant-Id: t-run\r\nConnection: close\r\n\r\n" % sys.argv[3]).encode())
    text = b""
    while b := c.recv(65536): text += b
    print(re.findall(r'Tenant-Id":."[^"]*', text.decode()))
print("done")
while not os.path.exists("end"): time.sleep(0.02)
`

// One sidecar, and a sandbox by each way in at once: each record has the identity
// and the way of the sandbox that it is about.
func TestEveryWay(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "unshare", "util-linux")
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	p := newPlace(t, callers()[0], origin.Options{})
	base := filepath.Dir(p.dir)
	at := func(name string) string { return filepath.Join(base, "run", name) }
	entry := func(name, how string) string {
		return fmt.Sprintf("  - {name: w-%[1]s, labels: {team: web}, props: {tenant: t-%[1]s}, policy: [web], %[2]s}\n", name, how)
	}
	s := p.sidecar(t, "sandboxes:\n"+entry("join", "enrol: {dir: "+at("join")+"}")+entry("gateway", "enrol: {way: gateway, dir: "+at("gateway")+"}")+
		entry("attach", "enrol: {way: attach, dir: "+at("attach")+"}")+entry("explicit", fmt.Sprintf("explicit: {socket: %s, user: %d}", at("told.sock"), os.Getuid())))
	ca := filepath.Join(base, "inside-ca.pem")
	if out := p.exec("ca", "export", "--control", s.control); out.code != 0 || os.WriteFile(ca, []byte(out.stdout), 0o644) != nil {
		t.Fatalf("%+v", out)
	}
	get := func(how string) string {
		return fmt.Sprintf("until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }; until_file go; for i in 1 2 3; do curl -sS -m 20 --cacert %s %s %s | grep -o 'Tenant-Id\":.\"[^\"]*'; done; echo done; until_file end", ca, how, p.https("api.example.com", "/echo"))
	}
	resolve := fmt.Sprintf("--resolve api.example.com:%d:198.51.100.7", p.origin.TLSPort)
	nets := map[string]string{}
	for _, way := range []string{"attach", "gateway"} {
		nets[way] = fmt.Sprintf("sw%d%s", os.Getpid(), way[:1])
		attachable(t, nets[way])
		p.spawn(t, binary, way, "--netns", "/run/netns/"+nets[way], "--enrol", at(way), "--stay").until("is sealed")
	}
	shells := map[string]*background{
		"run":      p.spawn(t, binary, "run", "--sidecar", s.control, "--name", "w-run", "--label", "team=web", "--prop", "tenant=t-run", "--policy", "web", "--mount", ca, "--", "/bin/sh", "-c", get("")),
		"join":     p.spawn(t, contained(p.who, "join", "--system-files", "no", "--enrol", at("join"), "--", "/bin/sh", "-c", get(resolve))...),
		"attach":   p.spawn(t, "ip", "netns", "exec", nets["attach"], "/bin/sh", "-c", get(resolve)),
		"gateway":  p.spawn(t, "ip", "netns", "exec", nets["gateway"], "/bin/sh", "-c", get(resolve)),
		"explicit": p.spawn(t, "/usr/bin/python3", "-u", "-c", told, at("told.sock"), ca, fmt.Sprint(p.origin.TLSPort)),
	}
	shells["join"].until("") // all are there before any of them asks
	until(t, "all sandboxes", func() bool {
		return strings.Count(p.exec("sandbox", "ls", "--control", s.control).stdout, "w-") == len(shells)
	})
	shells["run"].tell("go")
	for way, b := range shells {
		b.until("done")
		if n := strings.Count(b.out.String(), `Tenant-Id":["t-`+way); n != 3 {
			t.Errorf("%s: %d of 3: %s", way, n, b.out)
		}
	}
	shells["run"].tell("end")
	_ = shells["run"].cmd.Wait()
	s.stop()
	for way := range shells {
		if n := len(p.find(map[string]string{"event.name": "egress.request.decision", "sandbox.name": "w-" + way, "sandbox.identity.method": way})); n != 3 {
			t.Errorf("%s: %d decisions are recorded", way, n)
		}
	}
	if n := len(p.find(map[string]string{"event.name": "egress.request.decision"})); n != 3*len(shells) {
		t.Errorf("%d decisions in all", n)
	}
}
