package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// socksPython speaks SOCKS5 by hand: open(door, host, port, user) returns the
// connection, or says what was replied.
const socksPython = `
import socket, ssl, struct, ipaddress
def door(at):
    if at.startswith("/"):
        s = socket.socket(socket.AF_UNIX); s.settimeout(15); s.connect(at); return s
    host, port = at.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 15)
def ask(s, host, port, token=None, command=1):
    def take(n):
        b = b""
        while len(b) < n:
            got = s.recv(n - len(b))
            if not got: raise EOFError(b)
            b += got
        return b
    s.sendall(b"\x05\x01" + (b"\x02" if token else b"\x00"))
    if take(2)[1] == 2:
        t = token.encode(); s.sendall(b"\x01\x02me" + bytes([len(t)]) + t)
        if take(2)[1]: return "wrong token"
    try: a = ipaddress.ip_address(host); kind = b"\x01" if a.version == 4 else b"\x04"; to = kind + a.packed
    except ValueError: to = b"\x03" + bytes([len(host)]) + host.encode()
    s.sendall(b"\x05" + bytes([command]) + b"\x00" + to + struct.pack("!H", port))
    return take(10)[1]
def get(s, host, port):
    s.sendall(("GET /echo HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n" % (host, port)).encode())
    return s.makefile("rb").read().decode()
`

// behindSocks is a repository that git reads over HTTP, and a page for all else.
func behindSocks(t *testing.T) http.Handler {
	t.Helper()
	dir := t.TempDir()
	for _, args := range [][]string{{"init", "-q", "work"}, {"-C", "work", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "--allow-empty", "-m", "first of all"},
		{"clone", "-q", "--bare", "work", "repo.git"}, {"-C", "repo.git", "update-server-info"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %s%v", args, out, err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/repo.git/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello from %s\n", r.Host) })
	return mux
}

// Clients of SOCKS5 inside a sandbox: by name and by either kind of address, over
// the proxy of each namespace; what is not allowed is refused in words.
func TestSocksInside(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "git", "git")
	tool(t, "dig", "bind9-dnsutils")
	each(t, origin.Options{Handler: behindSocks(t)}, func(t *testing.T, p *place) {
		https, http := p.https("api.example.com", "/x"), p.http("api.example.com", "/x")
		allow := []string{"--allow", p.at("api.example.com"), "--allow", fmt.Sprintf("api.example.com:%d", p.origin.PlainPort)}
		for what, c := range map[string]struct{ script, want string }{
			"by name":               {"curl -sS --socks5-hostname 127.0.0.1:3128 " + https + " " + http, "hello from api.example.com:%[1]d\nhello from api.example.com:%[2]d\n"},
			"by address":            {"curl -sS -4 --socks5 127.0.0.1:3128 " + https, "hello from api.example.com:%[1]d\n"},
			"by address, IPv6":      {fmt.Sprintf("a=$(dig +short AAAA api.example.com); case $a in fd*) curl -sS --socks5 127.0.0.1:3128 --resolve api.example.com:%d:[$a] %s;; esac", p.origin.TLSPort, https), "hello from api.example.com:%[1]d\n"},
			"with a user":           {"curl -sS -U me:any --socks5-hostname 127.0.0.1:3128 " + https, "hello from api.example.com:%[1]d\n"},
			"HTTP/2":                {"curl -sS -w '%%{http_version}' -o /dev/null --socks5-hostname 127.0.0.1:3128 " + https, "2"},
			"by a variable":         {"ALL_PROXY=socks5h://127.0.0.1:3128 curl -sS " + https, "hello from api.example.com:%[1]d\n"},
			"not allowed":           {"curl -sS --socks5-hostname 127.0.0.1:3128 " + p.https("other.example.com", "/"), "default_deny"},
			"not allowed, plain":    {"curl -sS --socks5-hostname 127.0.0.1:3128 " + p.http("other.example.com", "/"), "default_deny"},
			"an unknown address":    {"curl -sS --socks5-hostname 127.0.0.1:3128 http://198.18.77.77/ 2>&1; echo ended $?", "(4)\nended 97\n"},
			"SOCKS4":                {"curl -sS --socks4a 127.0.0.1:3128 " + http + " 2>&1; echo ended $?", "ended 97\n"},
			"git":                   {"git -c http.proxy=socks5h://127.0.0.1:3128 clone -q " + p.https("api.example.com", "/repo.git") + " r && git -C r log --format=%%s", "first of all\n"},
			"git, where it may not": {"git -c http.proxy=socks5h://127.0.0.1:3128 clone -q " + p.https("other.example.com", "/repo.git") + " no 2>&1", "error: 403"},
		} {
			want := strings.NewReplacer("%[1]d", fmt.Sprint(p.origin.TLSPort), "%[2]d", fmt.Sprint(p.origin.PlainPort)).Replace(c.want)
			if out := p.sh(allow, strings.ReplaceAll(c.script, "%%", "%")); !strings.HasSuffix(out.stdout, want) && !(len(want) < 20 && strings.Contains(out.stdout, want)) {
				t.Errorf("%s: %+v", what, out)
			}
		}
		for code, n := range map[string]int{"default_deny": 3, "address_unknown": 1, "socks_version": 1} {
			if got := len(p.find(map[string]string{"policy.code": code, "ingress.mode": "socks"})); got != n {
				t.Errorf("%s is recorded %d times", code, got)
			}
		}
	})
}

// hostile 20: bytes where a grant names them, of a server that speaks first; what the wall or
// policy says no to is a reply.
func TestSocksBytes(t *testing.T) {
	tool(t, "python3", "python3")
	l := greeter(t)
	port := l.Addr().(*net.TCPAddr).Port
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		out := p.python([]string{"--tcp", fmt.Sprintf("api.example.com:%d", port), "--tcp", "api.example.com:1"}, socksPython+fmt.Sprintf(`
for host, port, command in [("api.example.com", %[1]d, 1), (socket.getaddrinfo("api.example.com", 0, socket.AF_INET6)[0][4][0], %[1]d, 1), ("api.example.com", 1, 1), ("api.example.com", %[1]d, 2), ("192.0.2.1", 53, 3), ("198.18.200.1", %[1]d, 1), ("evil.example\x00.api.example.com", %[1]d, 1), ("a b.api.example.com", %[1]d, 1)]:
    s = door("127.0.0.1:3128"); r = ask(s, host, port, command=command)
    print(r, s.recv(99) if r == 0 else "")
`, port))
		if out.stdout != "0 b'220 ready\\r\\n'\n0 b'220 ready\\r\\n'\n5 \n7 \n7 \n4 \n4 \n4 \n" {
			t.Errorf("%+v", out)
		}
		if len(p.find(map[string]string{"policy.code": "host_invalid", "ingress.mode": "socks"})) == 0 {
			t.Error("names that are none are not recorded")
		}
		if n := len(p.find(map[string]string{"event.name": "egress.tunnel.open", "ingress.mode": "socks"})); n != 2 {
			t.Errorf("%d tunnels", n)
		}
		out = p.python([]string{"--mode", "sealed", "--bind", "orders.internal=http://127.0.0.1:1"}, socksPython+`
for host, port in [("orders.internal", 80), ("orders.internal", 22), ("api.example.com", 80)]:
    print(ask(door("127.0.0.1:3128"), host, port))
`)
		if out.stdout != "0\n2\n2\n" || len(p.find(map[string]string{"policy.code": "sealed", "ingress.mode": "socks"})) != 2 {
			t.Errorf("sealed: %+v", out)
		}
	})
}

// Doors of a sidecar speak SOCKS5 as they speak HTTP: a token is the password,
// inside TLS too, a client's certificate is enough, and a Unix socket's user is.
func TestSocksClients(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "python3", "python3")
	p := newPlace(t, callers()[0], origin.Options{})
	base, dir := filepath.Dir(p.dir), t.TempDir()
	pinned := certify(t, dir, "pinned", nil, nil)
	if err := os.WriteFile(filepath.Join(base, "one.token"), []byte(tokenOne+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "TWO="+tokenTwo)
	var at [4]int
	for i := range at {
		at[i] = freePort(t)
	}
	sock := filepath.Join(base, "run", "proxy.sock")
	entry := func(name, tenant, explicit string) string {
		return fmt.Sprintf("  - {name: %s, labels: {team: web}, props: {tenant: %s}, policy: [web], explicit: {%s}}\n", name, tenant, explicit)
	}
	s := p.sidecar(t, "sandboxes:\n"+
		entry("one", "t-1", fmt.Sprintf("listen: \"127.0.0.1:%d\", token: \"file:one.token\"", at[1]))+
		entry("two", "t-2", fmt.Sprintf("listen: \"127.0.0.1:%d\", token: \"env:TWO\", tls_names: [127.0.0.1]", at[2]))+
		entry("three", "t-3", fmt.Sprintf("listen: \"127.0.0.1:%d\", client_cert: %s", at[3], pinned.crt))+
		entry("four", "t-4", "socket: "+sock))
	own := filepath.Join(dir, "own.pem")
	if err := os.WriteFile(own, []byte(p.exec("ca", "export", "--control", s.control).stdout), 0o644); err != nil {
		t.Fatal(err)
	}
	u := p.https("api.example.com", "/echo")
	for what, c := range map[string]struct {
		args []string
		want string
	}{
		"one":                 {[]string{"-x", fmt.Sprintf("socks5h://any:%s@127.0.0.1:%d", tokenOne, at[1])}, `"X-Tenant-Id":["t-1"]`},
		"one, without":        {[]string{"-x", fmt.Sprintf("socks5h://127.0.0.1:%d", at[1])}, "curl: (97)"},
		"one, with two's":     {[]string{"-x", fmt.Sprintf("socks5h://any:%s@127.0.0.1:%d", tokenTwo, at[1])}, "curl: (97)"},
		"one, its own lookup": {[]string{"-x", fmt.Sprintf("socks5://any:%s@127.0.0.1:%d", tokenOne, at[1]), "--resolve", p.at("api.example.com") + ":192.0.2.1"}, `"X-Tenant-Id":["t-1"]`},
		"one, not allowed":    {[]string{"-x", fmt.Sprintf("socks5h://any:%s@127.0.0.1:%d", tokenOne, at[1]), "--connect-to", "::other.example.com:"}, "authority_mismatch"},
		"four, by its socket": {[]string{"-x", "socks5h://localhost" + sock}, `"X-Tenant-Id":["t-4"]`},
	} {
		if out := outside(t, nil, append([]string{"curl", "-sS", "-m", "10", "--cacert", own, u}, c.args...)...); !strings.Contains(out, c.want) {
			t.Errorf("%s: %s", what, out)
		}
	}
	env := p.exec("ca", "env", "--proxy", fmt.Sprintf("socks5h://127.0.0.1:%d", at[1]), "--token", "file:"+filepath.Join(base, "one.token"), "--ca", own)
	if out := outside(t, strings.Split(strings.TrimSpace(env.stdout), "\n"), "curl", "-sS", u); !strings.Contains(out, `"X-Tenant-Id":["t-1"]`) || strings.Contains(env.stdout, "HTTP_PROXY") {
		t.Errorf("%s\nwith %s", out, env.stdout)
	}
	out := outside(t, nil, "python3", "-c", socksPython+fmt.Sprintf(`
ctx = ssl.create_default_context(cafile=%[1]q); sure = ssl.create_default_context(cafile=%[1]q); sure.load_cert_chain(%[2]q, %[3]q)
for at, c, token in [(%[4]d, ctx, %[7]q), (%[4]d, ctx, "wrong-token-0123456789"), (%[5]d, sure, None), (%[5]d, sure, "any")]:
    s = c.wrap_socket(door("127.0.0.1:%%d" %% at), server_hostname="127.0.0.1")
    r = ask(s, "api.example.com", %[6]d, token)
    print(r, '["t-2"]' in (b := get(s, "api.example.com", %[6]d) if r == 0 else ""), '["t-3"]' in b)
s = ctx.wrap_socket(door("127.0.0.1:%[5]d"), server_hostname="127.0.0.1")
try: print(ask(s, "api.example.com", %[6]d))
except Exception as e: print("no certificate")
`, own, pinned.crt, pinned.pkey, at[2], at[3], p.origin.PlainPort, tokenTwo))
	if out != "0 True False\nwrong token False False\n0 False True\n0 False True\nno certificate\n" {
		t.Errorf("inside TLS: %s", out)
	}
	s.stop()
	for name, n := range map[string]int{"one": 4, "two": 1, "three": 2, "four": 1} {
		if got := len(p.find(map[string]string{"event.name": "egress.request.decision", "ingress.mode": "socks", "sandbox.name": name})); got != n {
			t.Errorf("%s has %d requests", name, got)
		}
	}
}
