package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/origin"
)

// attachable makes a namespace as a container runtime does.
func attachable(t *testing.T, name string) {
	t.Helper()
	tool(t, "ip", "iproute2")
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
}

// A namespace that somebody else made is sealed and handed over; one with ways
// out is not.
func TestAttach(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "python3", "python3")
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "")
	base := fmt.Sprintf("sp%d", os.Getpid())
	one, two := base+"a", base+"b"
	attachable(t, one)
	attachable(t, two)
	ca := filepath.Join(filepath.Dir(p.dir), "inside-ca.pem")
	attach := func(args ...string) output {
		return p.exec(append([]string{"attach", "--control", s.control}, args...)...)
	}
	inside := func(ns, script string) string {
		t.Helper()
		out, _ := exec.Command("ip", "netns", "exec", ns, "/bin/sh", "-c", script).CombinedOutput()
		return string(out)
	}
	if out := attach("--netns", "/run/netns/"+one, "--name", "blue", "--label", "team=web", "--prop", "tenant=t-b", "--policy", "web", "--ca", ca); out.code != 0 || !strings.Contains(out.stdout, "blue is sealed") {
		t.Fatalf("%+v", out)
	}
	// Any address is the gate's, by IPv4 and IPv6; names come from its own server.
	get := fmt.Sprintf("curl -sS --cacert %s --resolve api.example.com:%d:%%s %s", ca, p.origin.TLSPort, p.https("api.example.com", "/echo"))
	for _, at := range []string{"198.51.100.7", "[2001:db8::7]"} {
		if out := inside(one, fmt.Sprintf(get, at)); !strings.Contains(out, `"X-Tenant-Id":["t-b"]`) || !strings.Contains(out, "[REDACTED:api]") {
			t.Errorf("at %s: %s", at, out)
		}
	}
	if out := inside(one, attempting2); !strings.Contains(out, "name 198.18.") || !strings.Contains(out, "udp refused") {
		t.Errorf("%s", out)
	}
	// What is refused, and why.
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing named":            {[]string{"--name", "x"}, "Say --netns PATH or --pid N"},
		"no name":                  {[]string{"--netns", "/run/netns/" + two}, "Say --name NAME"},
		"no namespace":             {[]string{"--netns", "/etc/passwd", "--name", "x"}, "is no network namespace"},
		"another kind":             {[]string{"--netns", "/proc/self/ns/mnt", "--name", "x"}, "is no network namespace"},
		"nobody":                   {[]string{"--pid", "999999999", "--name", "x"}, "process 999999999"},
		"our own":                  {[]string{"--pid", fmt.Sprint(os.Getpid()), "--name", "x"}, "it is sallyport's own"},
		"a taken name":             {[]string{"--netns", "/run/netns/" + two, "--name", "blue"}, "there is a sandbox \"blue\" already"},
		"another's":                {[]string{"--netns", "/run/netns/" + one, "--name", "thief"}, "somebody serves it already"},
		"unknown policy":           {[]string{"--netns", "/run/netns/" + two, "--name", "x", "--policy", "nope"}, `there is no policy "nope"`},
		"with a link that is down": {[]string{"--netns", "/run/netns/" + two, "--name", "x"}, "it has the interface veth"},
		"with a link out":          {[]string{"--netns", "/run/netns/" + two, "--name", "x"}, "it has the interface veth"},
	} {
		if strings.HasPrefix(name, "with a link") {
			up := " && ip link set veth0 up && ip link set veth1 up"
			if strings.HasSuffix(name, "down") {
				up = ""
			}
			if out := inside(two, "ip link add veth0 type veth peer name veth1"+up); out != "" {
				t.Fatal(out)
			}
		}
		if out := attach(c.args...); out.code != 125 || !strings.Contains(out.stderr, c.want) {
			t.Errorf("%s: %+v, want %q", name, out, c.want)
		}
		if strings.HasPrefix(name, "with a link") {
			inside(two, "ip link del veth0")
		}
	}
	// The owner is served as before, and when it is revoked nothing passes.
	if out := inside(one, fmt.Sprintf(get, "198.51.100.7")); !strings.Contains(out, `"X-Tenant-Id":["t-b"]`) {
		t.Errorf("after the attempts: %s", out)
	}
	if out := p.exec("sandbox", "revoke", "blue", "--control", s.control); out.code != 0 {
		t.Errorf("%+v", out)
	}
	if out := inside(one, fmt.Sprintf(get, "198.51.100.7")); !strings.Contains(out, "sallyport: revoked") {
		t.Errorf("revoked: %s", out)
	}
	s.stop()
	if out := inside(one, fmt.Sprintf(get, "198.51.100.7")); !strings.Contains(out, "refused") && !strings.Contains(out, "connect") {
		t.Errorf("without a sidecar: %s", out)
	}
	if n := len(p.find(map[string]string{"event.name": "egress.request.decision", "sandbox.name": "blue", "sandbox.identity.method": "attach", "policy.decision": "allow"})); n != 3 {
		t.Errorf("%d allows are recorded", n)
	}
}

// A namespace that appears later is waited for, and with its end the sandbox ends.
func TestAttachStays(t *testing.T) {
	tool(t, "curl", "curl")
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "")
	name := fmt.Sprintf("st%d", os.Getpid())
	if out := p.exec("attach", "--control", s.control, "--netns", "/run/netns/"+name, "--name", "late", "--wait", "200ms"); out.code != 125 || !strings.Contains(out.stderr, "no such file") {
		t.Errorf("one that does not come: %+v", out)
	}
	b := p.spawn(t, binary, "attach", "--control", s.control, "--netns", "/run/netns/"+name, "--name", "late", "--wait", "1m", "--stay")
	time.Sleep(200 * time.Millisecond)
	attachable(t, name)
	b.until("late is sealed")
	get := func() string {
		out, _ := exec.Command("ip", "netns", "exec", name, "curl", "-sS", "-m", "20", "--resolve", fmt.Sprintf("api.example.com:%d:198.51.100.7", p.origin.PlainPort), p.http("api.example.com", "/echo")).CombinedOutput()
		return string(out)
	}
	if out := get(); !strings.Contains(out, `"Method":"GET"`) {
		t.Errorf("%s", out)
	}
	s.kill()
	s.begin()
	b.until("the sidecar is back")
	if out := get(); !strings.Contains(out, `"Method":"GET"`) {
		t.Errorf("after a restart: %s", out)
	}
	_ = exec.Command("ip", "netns", "del", name).Run()
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, b.out)
	}
	// The same with a process, whose namespace it is.
	sleeper := p.spawn(t, "unshare", "--net", "--kill-child", "sleep", "1000")
	time.Sleep(200 * time.Millisecond)
	b = p.spawn(t, binary, "attach", "--control", s.control, "--pid", fmt.Sprint(sleeper.cmd.Process.Pid), "--name", "process", "--stay")
	b.until("process is sealed")
	_ = sleeper.cmd.Process.Kill()
	_ = sleeper.cmd.Wait()
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, b.out)
	}
	if out := p.exec("sandbox", "ls", "--control", s.control); strings.Count(out.stdout, "\n") != 1 {
		t.Errorf("%+v", out)
	}
	s.stop()
}

// attempting2 looks a name up at an address that nobody has, and sends a packet.
const attempting2 = `/usr/bin/python3 -c '
import socket, struct
q = struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + b"\x01x\x07example\x00" + struct.pack(">HH", 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(q, ("192.0.2.53", 53))
print("name", socket.inet_ntoa(s.recv(512)[-4:]))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(3)
try: u.sendto(b"x", ("192.0.2.1", 9)); u.recv(1); print("udp ANSWERED")
except OSError as e: print("udp refused" if not isinstance(e, TimeoutError) else "udp LATE")
'`
