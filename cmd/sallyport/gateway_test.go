package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/origin"
)

// links are the network links of this namespace.
func links(t *testing.T) int {
	t.Helper()
	is, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	return len(is)
}

// What is behind a gateway has an ordinary network, at whose other end nothing is
// but the gate: not the host, and nobody else. It outlives the sidecar.
func TestGateway(t *testing.T) {
	for prog, pkg := range map[string]string{"curl": "curl", "python3": "python3", "ping": "iputils-ping", "dig": "bind9-dnsutils"} {
		tool(t, prog, pkg)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can make a link into what somebody else made")
	}
	p := newPlace(t, callers()[0], origin.Options{})
	base := fmt.Sprintf("sg%d", os.Getpid())
	one, two := base+"a", base+"b"
	attachable(t, one)
	attachable(t, two)
	dir := filepath.Join(filepath.Dir(p.dir), "run", "vm")
	s := p.sidecar(t, fmt.Sprintf("sandboxes:\n  - {name: vm, labels: {team: web}, props: {tenant: t-v}, policy: [web], enrol: {way: gateway, dir: %s}}\n", dir))
	before := links(t)
	ca := filepath.Join(filepath.Dir(p.dir), "inside-ca.pem")
	inside := func(ns, script string) string {
		t.Helper()
		out, _ := exec.Command("ip", "netns", "exec", ns, "/bin/sh", "-c", script).CombinedOutput()
		return string(out)
	}
	gw := p.spawn(t, binary, "gateway", "--netns", "/run/netns/"+one, "--enrol", dir, "--stay", "--ca", ca)
	gw.until("vm is sealed")
	other := p.spawn(t, binary, "gateway", "--control", s.control, "--netns", "/run/netns/"+two, "--name", "strict", "--link", "net0", "--stay")
	other.until("strict is sealed")
	if out := p.exec("gateway", "--control", s.control, "--netns", "/run/netns/"+one, "--name", "again"); out.code == 0 || !strings.Contains(out.stderr, "it has the interface eth0") {
		t.Errorf("a second link: %+v", out)
	}
	if n := links(t); n != before {
		t.Errorf("the host has %d links, and had %d", n, before)
	}
	get := fmt.Sprintf("curl -sS -m 20 --cacert %s --resolve api.example.com:%d:%%s %s", ca, p.origin.TLSPort, p.https("api.example.com", "/echo"))
	at := func(addr string) string { return fmt.Sprintf(get, addr) }
	for _, addr := range []string{"198.51.100.7", "[2001:db8::7]"} {
		if out := inside(one, at(addr)); !strings.Contains(out, `"X-Tenant-Id":["t-v"]`) || !strings.Contains(out, "[REDACTED:api]") {
			t.Errorf("at %s: %s", addr, out)
		}
	}
	if out := inside(two, strings.Replace(at("198.51.100.7"), "-sS", "-sSk", 1)); !strings.Contains(out, `"Method":"GET"`) || strings.Contains(out, "t-v") {
		t.Errorf("the other: %s", out)
	}
	// Names by any server, of which each has its own address.
	names := inside(one, "dig +short +tries=1 a.example @198.18.0.1; dig +short +tries=1 b.example @8.8.8.8; dig +short +tcp +tries=1 a.example @2001:db8::53; dig +short aaaa a.example @fd53:616c:6c79::1")
	if f := strings.Fields(names); len(f) != 4 || f[0] != f[2] || f[0] == f[1] || !strings.HasPrefix(f[3], "fd53:616c:6c79:") {
		t.Errorf("names: %q", names)
	}
	// What is not TCP ends at once.
	refused := inside(one, `for a in 192.0.2.1 2001:db8::1; do ping -c 1 -W 5 $a 2>&1 | grep -oE 'Port Unreachable|Port unreachable|100% packet loss'; done
/usr/bin/python3 -c '
import socket, time
for f, a in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
    s = socket.socket(f, socket.SOCK_DGRAM); s.settimeout(5); s.connect((a, 443)); s.send(b"x"); t = time.time()
    try: s.recv(1); print("answered")
    except ConnectionRefusedError: print("udp refused", time.time() - t < 1)
    except OSError as e: print("udp", e)
'`)
	if strings.Count(strings.ToLower(refused), "port unreachable") != 2 || strings.Count(refused, "udp refused True") != 2 {
		t.Errorf("what is not TCP: %s", refused)
	}
	// The host is not there: neither by its addresses, nor by packets with others' sources.
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	arrived := make(chan struct{}, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
			arrived <- struct{}{}
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		ip := a.(*net.IPNet).IP
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		if out := inside(one, fmt.Sprintf("curl -sS -m 10 http://%s/", net.JoinHostPort(ip.String(), fmt.Sprint(port)))); !strings.Contains(out, "default_deny") {
			t.Errorf("the host at %s: %s", ip, out)
		}
	}
	spoofed := inside(one, "ip addr add 10.9.9.9/32 dev eth0; ip -6 addr add 2001:db8:9::9/128 dev eth0 nodad; "+strings.Replace(at("198.51.100.7"), "-m 20", "-m 2 --interface 10.9.9.9", 1)+"; "+strings.Replace(at("[2001:db8::7]"), "-m 20", "-m 2 --interface 2001:db8:9::9", 1))
	if strings.Contains(spoofed, "X-Tenant-Id") {
		t.Errorf("another's address is believed: %s", spoofed)
	}
	select {
	case <-arrived:
		t.Error("the host was reached")
	default:
	}
	// The sidecar goes and comes; what is inside is not touched.
	s.kill()
	gw.until("the sidecar is gone")
	if out := inside(one, strings.Replace(at("198.51.100.7"), "-m 20", "-m 1", 1)); strings.Contains(out, "X-Tenant-Id") {
		t.Errorf("without a sidecar: %s", out)
	}
	s.begin()
	gw.until("the sidecar is back")
	if out := inside(one, at("198.51.100.7")); !strings.Contains(out, `"X-Tenant-Id":["t-v"]`) {
		t.Errorf("after a restart: %s", out)
	}
	// The namespace goes, and all with it.
	_ = exec.Command("ip", "netns", "del", two).Run()
	_ = other.cmd.Wait()
	client := admin.NewClient(s.control)
	if all, err := client.List(t.Context(), nil); err != nil || len(all) != 1 {
		t.Errorf("%+v %v", all, err)
	}
	_ = gw.cmd.Process.Kill()
	_ = gw.cmd.Wait()
	for range 500 {
		if !strings.Contains(inside(one, "ip -o link"), "eth0") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if out := inside(one, "ip -o link"); strings.Contains(out, "eth0") {
		t.Errorf("the link is left: %s", out)
	}
	s.stop()
	if n := len(p.find(map[string]string{"event.name": "egress.request.decision", "sandbox.name": "vm", "sandbox.identity.method": "gateway"})); n < 4 {
		t.Errorf("%d decisions are recorded", n)
	}
	if n := len(p.find(map[string]string{"event.name": "egress.packet.refused", "sandbox.name": "vm"})); n < 4 {
		t.Errorf("%d packets are recorded", n)
	}
}
