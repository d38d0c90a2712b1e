package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// python runs a script inside.
func (p *place) python(flags []string, script string) output {
	p.t.Helper()
	return p.run(flags, "/usr/bin/python3", "-c", script)
}

// attempts are ways out, by name: what the attempt prints, and what is recorded of it.
var attempts = []struct {
	name, script string
	want         []string            // in what it prints
	records      []map[string]string // each at least once
}{
	{"tcp", `tcp(4, "192.0.2.1", 22, b"SSH-2.0-x\r\n"); tcp(4, "192.0.2.1", 25, b"\x00\x01\x02\x03"); tcp(4, "192.0.2.2", 80); tcp(4, "192.0.2.3", 65535, b"\xff")`,
		[]string{"192.0.2.1 22 ConnectionResetError", "192.0.2.1 25 ConnectionResetError", "192.0.2.2 80 b'HTTP/1.1 403", "192.0.2.3 65535 ConnectionResetError"},
		[]map[string]string{
			{"event.name": "egress.tunnel.decision", "connection.original.address": "192.0.2.1", "connection.original.port": "22", "policy.code": "unknown_protocol"},
			{"event.name": "egress.tunnel.decision", "connection.original.address": "192.0.2.1", "connection.original.port": "25"},
			{"event.name": "egress.request.decision", "connection.original.address": "192.0.2.2", "policy.decision": "deny"},
			{"event.name": "egress.tunnel.decision", "connection.original.address": "192.0.2.3", "connection.original.port": "65535"},
		}},
	{"tcp over IPv6", `tcp(6, "2001:db8::5", 80); tcp(6, "2001:db8::5", 9, b"\x00\xff")`,
		[]string{"2001:db8::5 80 b'HTTP/1.1 403", "2001:db8::5 9 ConnectionResetError"},
		[]map[string]string{{"event.name": "egress.request.decision", "connection.original.address": "2001:db8::5"}, {"event.name": "egress.tunnel.decision", "connection.original.address": "2001:db8::5", "connection.original.port": "9"}}},
	{"tcp to an address that was never given out", `tcp(4, "198.19.255.1", 80)`, []string{"198.19.255.1 80 Connection"},
		[]map[string]string{{"event.name": "egress.tunnel.decision", "connection.original.address": "198.19.255.1", "policy.code": "address_unknown"}}},
	{"udp", `udp(4, "192.0.2.1", 123); udp(6, "2001:db8::5", 123)`, []string{"udp 192.0.2.1 refused at once", "udp 2001:db8::5 refused at once"},
		[]map[string]string{{"event.name": "egress.packet.refused", "network.transport": "udp", "destination.address": "192.0.2.1", "destination.port": "123"}, {"event.name": "egress.packet.refused", "network.transport": "udp", "destination.address": "2001:db8::5", "destination.port": "123"}}},
	{"udplite", `
for fam, host in ((4, "192.0.2.1"), (6, "2001:db8::5")):
    s = socket.socket(families[fam], socket.SOCK_DGRAM, 136); s.settimeout(5)
    try: s.connect((host, 9)); s.send(b"x"); s.send(b"x"); s.recv(1); print("udplite ANSWERED")
    except OSError as e: print("udplite", "LATE" if isinstance(e, TimeoutError) else "refused")`, []string{"udplite refused"},
		[]map[string]string{{"event.name": "egress.packet.refused", "network.transport": "udplite", "destination.address": "192.0.2.1", "destination.port": "9"}, {"event.name": "egress.packet.refused", "network.transport": "udplite", "destination.address": "2001:db8::5"}}},
	{"quic", `udp(4, "192.0.2.1", 443, b"\xc0\x00\x00\x00\x01" + bytes(1195))`, []string{"udp 192.0.2.1 refused at once"},
		[]map[string]string{{"event.name": "egress.packet.refused", "network.transport": "udp", "destination.address": "192.0.2.1", "destination.port": "443"}}},
	{"icmp", `ping("192.0.2.1"); ping("2001:db8::5")`, []string{"ping 192.0.2.1 refused", "ping 2001:db8::5 refused"},
		[]map[string]string{{"event.name": "egress.packet.refused", "network.transport": "icmp", "destination.address": "192.0.2.1", "icmp.type": "8"}, {"event.name": "egress.packet.refused", "network.transport": "icmpv6", "destination.address": "2001:db8::5", "icmp.type": "128"}}},
	{"raw sockets", `made(socket.AF_INET, socket.SOCK_RAW, 1); made(socket.AF_INET6, socket.SOCK_RAW, 58); made(socket.AF_INET, socket.SOCK_RAW, 255)`, []string{"socket 2 1", "socket 10 1"}, nil},
	{"packet sockets", `made(socket.AF_PACKET, socket.SOCK_RAW, 0); made(socket.AF_PACKET, socket.SOCK_DGRAM, 0)`, []string{"socket 17 97"}, nil},
	{"vsock", `made(socket.AF_VSOCK, socket.SOCK_STREAM, 0); made(socket.AF_VSOCK, socket.SOCK_DGRAM, 0)`, []string{"socket 40 97"}, nil},
	{"other families", `made(socket.AF_BLUETOOTH, socket.SOCK_STREAM, 0); made(socket.AF_ALG, socket.SOCK_SEQPACKET, 0); made(44, socket.SOCK_RAW, 0)`, []string{"socket 31 97", "socket 38 97", "socket 44 97"}, nil},
	{"sctp", `
try:
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132); s.settimeout(3); s.connect(("192.0.2.1", 5)); print("sctp CONNECTED")
except OSError as e: print("sctp refused")`, []string{"sctp refused"}, nil},
	{"dns of other types", `
for t in ["TXT", "MX", "HTTPS", "SRV", "NULL", "ANY", "PTR", "CNAME"]: dig("-t", t, t.lower() + ".example")
dig("+tcp", "-t", "TXT", "tcp.example"); dig("-c", "CH", "-t", "TXT", "version.bind")`, []string{"dig NOERROR 0"},
		[]map[string]string{
			{"event.name": "egress.dns.query", "dns.question.type": "TXT", "dns.question.name": "txt.example."}, {"event.name": "egress.dns.query", "dns.question.type": "MX"},
			{"event.name": "egress.dns.query", "dns.question.type": "HTTPS"}, {"event.name": "egress.dns.query", "dns.question.type": "SRV"}, {"event.name": "egress.dns.query", "dns.question.type": "NULL"},
			{"event.name": "egress.dns.query", "dns.question.type": "ANY"}, {"event.name": "egress.dns.query", "dns.question.type": "TXT", "network.transport": "tcp"},
		}},
	{"dns elsewhere", `dig("@8.8.8.8", "-t", "TXT", "h.example"); dig("@2001:4860:4860::8888", "i.example", "AAAA"); dig("j.example")`, []string{"dig NOERROR 0", "dig NOERROR 1"},
		[]map[string]string{{"event.name": "egress.dns.query", "dns.question.name": "h.example."}, {"event.name": "egress.dns.query", "dns.question.name": "i.example."}, {"event.name": "egress.dns.query", "dns.question.name": "j.example.", "dns.question.type": "A"}}},
}

const attempting = `
import socket, time, subprocess
families = {4: socket.AF_INET, 6: socket.AF_INET6}
def tcp(fam, host, port, data=b"GET / HTTP/1.1\r\nHost: x.example\r\n\r\n"):
    s = socket.socket(families[fam], socket.SOCK_STREAM); s.settimeout(8)
    try: s.connect((host, port)); s.sendall(data); print("tcp", host, port, s.recv(9999)[:40])
    except Exception as e: print("tcp", host, port, type(e).__name__)
def udp(fam, host, port, data=b"x"):
    t = time.time(); s = socket.socket(families[fam], socket.SOCK_DGRAM); s.settimeout(5)
    try: s.connect((host, port)); s.send(data); s.send(data); s.recv(1); print("udp", host, "ANSWERED")
    except OSError as e: print("udp", host, "refused at once" if not isinstance(e, TimeoutError) and time.time() - t < 1 else "LATE")
def made(fam, typ, proto):
    try: socket.socket(fam, typ, proto); print("socket", int(fam), "MADE")
    except OSError as e: print("socket", int(fam), e.errno)
def ping(host):
    r = subprocess.run(["ping", "-c1", "-W2", host], capture_output=True, text=True)
    print("ping", host, "ANSWERED" if r.returncode == 0 and "ttl=" in r.stdout else "refused")
def dig(*args):
    r = subprocess.run(["dig", "+time=2", "+tries=1"] + list(args), capture_output=True, text=True)
    status = [l.split("status: ")[1].split(",")[0] for l in r.stdout.splitlines() if "status: " in l]
    answers = [l.split("ANSWER: ")[1].split(",")[0] for l in r.stdout.splitlines() if " ANSWER: " in l]
    print("dig", *status, *answers, *args)
`

// hostile 93, 94, 95: whatever is tried, nothing gets out, it ends at once, and
// every attempt of TCP, UDP, ICMP and DNS is recorded.
func TestNothingLeaks(t *testing.T) {
	tool(t, "python3", "python3")
	tool(t, "ping", "iputils-ping")
	tool(t, "dig", "bind9-dnsutils")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		for _, a := range attempts {
			t.Run(a.name, func(t *testing.T) {
				p.t = t
				out := p.python(nil, attempting+a.script)
				for _, bad := range []string{"ANSWERED", "LATE", "MADE", "CONNECTED", "Traceback"} {
					if strings.Contains(out.stdout+out.stderr, bad) {
						t.Errorf("%s in\n%s%s", bad, out.stdout, out.stderr)
					}
				}
				for _, want := range a.want {
					if !strings.Contains(out.stdout, want) {
						t.Errorf("%q is not in\n%s%s", want, out.stdout, out.stderr)
					}
				}
				for _, f := range a.records {
					if len(p.find(f)) == 0 {
						t.Errorf("not recorded: %v\n%s", f, out.stdout)
					}
				}
			})
		}
		p.t = t
		p.verified()
	})
}

// confinements are what a workload might do with what it is or sees, by name:
// what the try prints. ABSTRACT, SOCKET and HOME are of the host.
var confinements = []struct {
	name, script string
	want         []string
}{
	{"uid", `print("uid_map", open("/proc/self/uid_map").read().split()[1] != "0"); call("setuid", 105, 0)`, []string{"uid_map True"}},
	{"inherited descriptors", `print("fds", sorted(os.listdir("/proc/self/fd")))`, []string{"fds ['0', '1', '2', '3']"}}, // the last is that of listdir
	{"processes", `pids = sorted(int(x) for x in os.listdir("/proc") if x.isdigit()); print("pids", pids == [1, os.getpid()])`, []string{"pids True"}},
	{"interfaces", `print("interfaces", [n for _, n in socket.if_nameindex()])`, []string{"interfaces ['lo']"}},
	{"home", `print("home", os.listdir(os.environ["HOME"]))`, []string{"home ['.pki']"}},
	{"environment", `print("env", "SECRET_OF_THE_HOST" in os.environ)`, []string{"env False"}},
	{"files of the system", `
for path in ["/etc/x", "/usr/x", "/x", "/proc/sys/kernel/hostname", "/sys/x", "/run/sallyport/ca.pem"]:
    try: open(path, "w"); print("write", path, "DONE")
    except OSError as e: print("write", path, e.errno)`, []string{"write /etc/x 30", "write /run/sallyport/ca.pem"}},
	{"abstract sockets", `unix(os.environ["ABSTRACT"].replace("@", "\0"))`, []string{"unix 111"}},
	{"sockets in files", `unix(os.environ["SOCKET"])`, []string{"unix 2"}},
	{"second namespaces", `
call("unshare user", 272, 0x10000000); call("unshare net", 272, 0x40000000); call("setns", 308, 0, 0)
print("userns", sh("unshare -Ur true") != 0, "netns", sh("unshare -n true") != 0)`, []string{"userns True netns True"}},
	{"mounts", `call("mount", 165, b"none", b"/tmp", b"tmpfs", 0, 0); call("umount", 166, b"/proc/sys", 2)`, []string{"mount 1", "umount 1"}},
	{"system calls", `call("io_uring", 425, 1, 0); call("bpf", 321, 0, 0, 0); call("add_key", 248, b"user", b"x", b"y", 1, -3); call("socket x32", 41 | 0x40000000, 2, 1, 0)`, []string{"io_uring 38", "bpf 1", "add_key 1", "socket x32 38"}},
	{"set-user-ID files", `
def bits(name, make):
    try: make()
    except OSError as e: print(name, e.errno); return
    st = [os.stat(f).st_mode & 0o6000 for f in os.listdir(".") if f.startswith("suid")]
    print(name, "DONE" if any(st) else "plain")
open("suid", "w").close()
bits("chmod", lambda: os.chmod("suid", 0o4755))
bits("chmod sgid", lambda: os.chmod("suid", 0o2755))
bits("fchmod", lambda: os.fchmod(os.open("suid", os.O_RDONLY), 0o4755))
bits("open", lambda: os.open("suid2", os.O_CREAT | os.O_WRONLY, 0o4755))
bits("mknod", lambda: os.mknod("suid3", 0o104755))
bits("tmpfile", lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755))
call("creat", 85, b"suid4", 0o6755); call("open", 2, b"suid5", 0o101, 0o4755); call("fchmodat2", 452, -100, b"suid", 0o4755, 0); call("openat2", 437, -100, b"suid", b"\\0" * 24, 24)
os.chmod("suid", 0o755); print("plain modes are fine")`, []string{"chmod 1", "chmod sgid 1", "fchmod 1", "open 1", "mknod 1", "tmpfile 1", "creat 1", "fchmodat2 1", "openat2 38", "plain modes are fine"}},
	{"ptrace", `
if libc.syscall(101, 16, 1, 0, 0) < 0: print("ptrace init", ctypes.get_errno())
else: print("ptrace init DONE"); libc.waitpid(1, None, 0x40000000); libc.syscall(101, 17, 1, 0, 0)`, []string{"ptrace init 1"}},
	{"proc of the init", `
for f in ["environ", "mem", "root", "cwd", "fd", "maps"]:
    try:
        p = "/proc/1/" + f
        (os.listdir if f in ("root", "cwd", "fd") else lambda x: open(x, "rb").read(1))(p); print("proc 1", f, "READ")
    except OSError as e: print("proc 1", f, e.errno)`, []string{"proc 1 mem 13", "proc 1 fd 13"}},
	{"signals to the init", `
try: os.kill(1, signal.SIGKILL); print("kill init: nothing happens")
except OSError as e: print("kill init", e.errno)`, []string{"kill init"}},
	{"terminal", `
for nr, what in ((0x5412, "TIOCSTI"), (0x541c, "TIOCLINUX")):
    try: fcntl.ioctl(0, nr, b"x"); print(what, "DONE")
    except OSError as e: print(what, e.errno)`, []string{"TIOCSTI 1", "TIOCLINUX 1"}},
	{"devices", `print("devices", sorted(os.listdir("/dev")))`,
		[]string{"devices ['fd', 'full', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero']"}},
}

const confined = `
import os, socket, ctypes, signal, subprocess, fcntl
libc = ctypes.CDLL(None, use_errno=True)
def sh(c): return subprocess.run(["/bin/sh", "-c", c], capture_output=True).returncode
def call(name, *a):
    r = libc.syscall(*a); print(name, "DONE" if r >= 0 else ctypes.get_errno())
def unix(name):
    s = socket.socket(socket.AF_UNIX)
    try: s.connect(name); print("unix CONNECTED")
    except OSError as e: print("unix", e.errno)
`

// Wall rules 1 to 4: what the workload is, sees, holds and may call.
func TestWorkloadIsConfined(t *testing.T) {
	tool(t, "python3", "python3")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		name := "@sallyport-test-" + filepath.Base(filepath.Dir(p.dir))
		abstract, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer abstract.Close()
		sock := filepath.Join(filepath.Dir(p.dir), "host.sock")
		file, err := net.Listen("unix", sock)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		_ = os.Chmod(sock, 0o777)
		home := filepath.Join(filepath.Dir(p.dir), "home")
		_ = os.WriteFile(filepath.Join(home, "secret"), []byte(canary), 0o644)
		p.env = append(p.env, "SECRET_OF_THE_HOST="+canary)
		for _, c := range confinements {
			t.Run(c.name, func(t *testing.T) {
				p.t = t
				out := p.python([]string{"--env", "ABSTRACT=" + name, "--env", "SOCKET=" + sock}, confined+c.script)
				for _, bad := range []string{"DONE", "CONNECTED", "READ", "Traceback", canary} {
					if strings.Contains(out.stdout+out.stderr, bad) {
						t.Errorf("%s in\n%s%s", bad, out.stdout, out.stderr)
					}
				}
				for _, want := range c.want {
					if !strings.Contains(out.stdout, want) {
						t.Errorf("%q is not in\n%s%s", want, out.stdout, out.stderr)
					}
				}
			})
		}
	})
}

// What must not be seen is covered even where the working directory holds it.
func TestHidden(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		pol := filepath.Join(p.dir, "policy")
		_ = os.MkdirAll(pol, 0o755)
		_ = os.WriteFile(filepath.Join(pol, "p.rego"), []byte("package egress\n\nallow if input.request.method == \"GET\"\n"), 0o666)
		secret := filepath.Join(p.dir, "keys", "secret")
		_ = os.Mkdir(filepath.Dir(secret), 0o777)
		_ = os.WriteFile(secret, []byte(canary), 0o644)
		p.log = filepath.Join(p.dir, "log")
		_ = os.Mkdir(p.log, 0o777)
		_ = os.Chmod(p.log, 0o777)
		out := p.sh([]string{"--policy", pol, "--credential", "x=file:" + secret + "@https://api.example.com", "--mount", pol + ":/mnt/p:rw"},
			`ls policy log /mnt/p; cat keys/secret; echo x > keys/secret; touch keys/x; echo x > policy/p.rego; echo x > /mnt/p/p.rego; touch log/x; rm -rf policy log; mv policy y; echo end`)
		if !strings.HasSuffix(out.stdout, "end\n") || strings.Contains(out.stdout, "rego") || strings.Contains(out.stdout, "seg-") || strings.Contains(out.stdout, canary) {
			t.Errorf("%+v", out)
		}
		if b, _ := os.ReadFile(filepath.Join(pol, "p.rego")); !strings.HasPrefix(string(b), "package egress") {
			t.Errorf("the policy was changed to %q", b)
		}
		if b, _ := os.ReadFile(secret); string(b) != canary {
			t.Error("the secret's file was changed")
		}
		p.verified()
	})
}

// Raw TCP goes where a grant names it, server-first protocols too, and TLS passes
// unopened only by a rule: hostile 35, 39, 41, 52.
func TestRawTCP(t *testing.T) {
	tool(t, "python3", "python3")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
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
				go func() {
					defer c.Close()
					fmt.Fprint(c, "220 ready\r\n")
					b := make([]byte, 100)
					n, _ := c.Read(b)
					fmt.Fprintf(c, "you said %s", b[:n])
				}()
			}
		}()
		port := l.Addr().(*net.TCPAddr).Port
		script := fmt.Sprintf(`
import socket
for host, port in [("api.example.com", %d), ("other.example.com", %d)]:
    s = socket.create_connection((host, port), 10)
    try:
        a = s.recv(99); s.sendall(b"hello"); s.shutdown(socket.SHUT_WR); print(host, a, s.recv(99))
    except Exception as e: print(host, type(e).__name__)
`, port, port)
		out := p.python([]string{"--tcp", fmt.Sprintf("api.example.com:%d", port)}, script)
		if !strings.Contains(out.stdout, `api.example.com b'220 ready\r\n' b'you said hello'`) || !strings.Contains(out.stdout, "other.example.com ConnectionResetError") {
			t.Errorf("%+v", out)
		}
		for _, f := range []map[string]string{
			{"event.name": "egress.tunnel.decision", "policy.decision": "allow", "url.domain": "api.example.com"},
			{"event.name": "egress.tunnel.open"},
			{"event.name": "egress.tunnel.close", "bytes.client_in": "5", "bytes.client_out": "25"},
			{"event.name": "egress.tunnel.decision", "policy.decision": "deny", "policy.code": "silent"},
		} {
			if len(p.find(f)) != 1 {
				t.Errorf("not recorded once: %v", f)
			}
		}
		pol := filepath.Join(filepath.Dir(p.dir), "pass")
		_ = os.Mkdir(pol, 0o755)
		_ = os.WriteFile(filepath.Join(pol, "p.rego"), []byte("package egress.connect\n\nallow if {\n\tinput.destination.protocol == \"tls\"\n\tinput.destination.host == \"api.example.com\"\n}\n"), 0o644)
		out = p.sh([]string{"--policy", pol, "--mount", p.ca}, fmt.Sprintf("curl -sS --cacert %s %s; curl -sS -k https://192.0.2.1:%d/", p.ca, p.https("api.example.com", "/echo"), p.origin.TLSPort))
		if !strings.Contains(out.stdout, `"Target":"/echo"`) {
			t.Errorf("TLS was not passed through: %+v", out)
		}
		// What was looked up is not what TLS asks for: that is not passed on unopened.
		out = p.sh([]string{"--policy", pol}, fmt.Sprintf("curl -sS -k --connect-to api.example.com:%[1]d:other.example.com:%[1]d https://api.example.com:%[1]d/echo", p.origin.TLSPort))
		if !strings.Contains(out.stdout, "authority_mismatch") {
			t.Errorf("TLS for another name was passed through: %+v", out)
		}
		if len(p.find(map[string]string{"policy.code": "no_server_name"})) != 1 {
			t.Errorf("TLS to an address: %+v", out)
		}
	})
}

// hostile 75: each of the requests on one connection is decided by itself.
func TestPipelined(t *testing.T) {
	tool(t, "python3", "python3")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		port := p.origin.PlainPort
		script := fmt.Sprintf(`
import socket
def get(host, path): return "GET %%s HTTP/1.1\r\nHost: %%s:%[1]d\r\n" %% (path, host)
def talk(addr, *rs):
    s = socket.create_connection(addr, 10); s.settimeout(5); s.sendall(("\r\n".join(rs) + "Connection: close\r\n\r\n").encode())
    out = b""
    while True:
        b = s.recv(9999)
        if not b: break
        out += b
    print([l.split()[1] for l in out.decode().splitlines() if l.startswith("HTTP/1.1")])
talk(("api.example.com", %[1]d), get("api.example.com", "/a"), get("other.example.com", "/b"))
talk(("api.example.com", %[1]d), get("api.example.com", "/c"), get("api.example.com", "/d/../e"), get("api.example.com", "/f"))
u = "http://%%s:%[1]d/%%s"
talk(("127.0.0.1", 3128), get("api.example.com", u %% ("api.example.com", "g")), get("denied.example.com", u %% ("denied.example.com", "h")), get("other.example.com", u %% ("other.example.com", "i")))
`, port)
		out := p.python([]string{"--allow", fmt.Sprintf("api.example.com:%d", port), "--allow", fmt.Sprintf("other.example.com:%d", port)}, script)
		if out.stdout != "['200', '421']\n['200', '400']\n['200', '403', '200']\n" {
			t.Errorf("%+v", out)
		}
		var targets []string
		for _, r := range p.origin.Seen() {
			targets = append(targets, r.Target)
		}
		if strings.Join(targets, " ") != "/a /c /g /i" {
			t.Errorf("the origin saw %v", targets)
		}
	})
}
