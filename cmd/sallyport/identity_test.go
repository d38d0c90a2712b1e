package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/origin"
	"sallyport/origin/world"
)

// relayInside is a program of the sandbox's that passes on what others of it send,
// as an agent that opens a port for its tools does.
const relayInside = `
import socket, subprocess, sys, threading
l = socket.socket(); l.bind(("127.0.0.1", 8888)); l.listen(20)
def copy(a, b):
    while True:
        d = a.recv(65536)
        if not d: break
        b.sendall(d)
    b.shutdown(socket.SHUT_WR)
def serve():
    while True:
        c, _ = l.accept(); u = socket.create_connection(("127.0.0.1", 3128))
        threading.Thread(target=copy, args=(c, u), daemon=True).start(); threading.Thread(target=copy, args=(u, c), daemon=True).start()
threading.Thread(target=serve, daemon=True).start()
for how in ("", "-x http://127.0.0.1:3128", "-x http://127.0.0.1:8888", "-x http://two:token@127.0.0.1:8888", "-p -x http://127.0.0.1:8888"):
    for claim in ("", "-K claims"):
        for url in (sys.argv[1], sys.argv[1].replace("api.", "other.")):
            subprocess.run("curl -sS %s %s %s; echo" % (how, claim, url), shell=True)
`

// claims are fields by which somebody would be taken for somebody else.
var claims = []string{"X-Forwarded-For: 10.9.9.9", "X-Forwarded-Host: other.example.com", "X-Forwarded-Proto: https", "X_Forwarded_For: 10.9.9.9", "Forwarded: for=10.9.9.9;host=other.example.com",
	"Via: 1.1 other", "X-Real-IP: 10.9.9.9", "True-Client-IP: 10.9.9.9", "Client-IP: 10.9.9.9", "X-Original-URL: /admin", "Proxy-Connection: keep-alive",
	"Proxy-Anything: x", "Sallyport-Connection: 1", "Sallyport-Decision: 1", "X-Remote-User: root", "X-Sandbox-Id: other"}

// hostile 99: whoever asks inside, by whatever way, as whatever user and with
// whatever claims, is the sandbox, and is decided for as that; of the claims
// upstream sees only those that no server takes for a proxy's.
func TestIdentityIsTheSocket(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "python3", "python3")
	tool(t, "unshare", "util-linux")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		u := p.http("api.example.com", "/echo")
		var config strings.Builder
		for _, c := range claims {
			fmt.Fprintf(&config, "header = %q\n", c)
		}
		for name, text := range map[string]string{"claims": config.String(), "ask.py": relayInside} {
			if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out := s.enrolled([]string{"--name", "one", "--label", "team=web", "--prop", "tenant=t-1", "--policy", "web", "--nested"},
			fmt.Sprintf("/usr/bin/python3 ask.py %[1]s; unshare -Ur curl -sS -K claims %[1]s", u))
		other := s.enrolled([]string{"--name", "two"}, "curl -sS "+u)
		s.stop()
		if n := strings.Count(out.stdout, `"Method":"GET"`); n != 11 || strings.Count(out.stdout, "default_deny") != 10 || other.code != 0 {
			t.Errorf("%d are allowed: %+v", n, out)
		}
		one := p.find(map[string]string{"event.name": "egress.request.decision", "sandbox.name": "one", "sandbox.identity.method": "run"})
		if len(one) != 21 {
			t.Errorf("%d decisions of one", len(one))
		}
		for _, e := range one {
			if e.Str("sandbox.id") != one[0].Str("sandbox.id") || (e.Str("policy.decision") == "allow") != (e.Str("url.domain") == "api.example.com") {
				t.Errorf("%v", e.Fields)
			}
		}
		kept := []string{"Accept", "Accept-Encoding", "User-Agent", "Via", "X-Remote-User", "X-Sandbox-Id", "X-Tenant-Id"}
		for _, r := range p.origin.Seen() {
			for k, vs := range r.Header {
				if !slices.Contains(kept, k) || k == "Via" && (len(vs) != 1 || !strings.HasPrefix(vs[0], "1.1 sallyport-") || strings.Contains(vs[0], ",")) {
					t.Errorf("upstream sees %s: %v", k, vs)
				}
			}
		}
	})
}

// hostile 103: the host's names and addresses inside are nobody's; those of its own
// that are public are as shut as private ones, from the moment it has them, and
// only a binding or a prefix opens them.
func TestTheHostIsNotReached(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "ip", "iproute2")
	if !world.Enter(t) {
		return
	}
	world.Addresses(t, "172.17.0.1/16", "10.0.2.2/32", "203.0.114.7/32", "2a00:1450::7/128")
	names := map[string]string{"host.docker.internal": "172.17.0.1", "gateway.docker.internal": "172.17.0.1", "host.containers.internal": "10.0.2.2", "kubernetes.default.svc": "10.0.2.2",
		"bridge.example.com": "172.17.0.1", "node.example.com": "10.0.2.2", "public.example.com": "203.0.114.7", "public6.example.com": "2a00:1450::7", "later.example.com": "203.0.114.8",
		"routed.example.com": "203.0.114.130", "nat64.example.com": "64:ff9b::203.0.114.7"}
	var hits atomic.Int64
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { hits.Add(1); _, _ = io.WriteString(w, "the host") })}
	for _, port := range []string{":80", ":10250"} {
		l, err := net.Listen("tcp", port)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = srv.Serve(l) }()
	}
	t.Cleanup(func() { _ = srv.Close() })
	resolves(t, names)
	p := newPlace(t, callers()[0], origin.Options{})
	args := []string{"run", "--audit", p.log}
	var urls []string
	for n, a := range names {
		urls = append(urls, "http://"+n+"/", "http://"+n+":10250/pods")
		args = append(args, "--allow", n, "--allow", n+":10250")
		if n == "later.example.com" || n == "nat64.example.com" {
			continue
		}
		if netip.MustParseAddr(a).Is6() {
			a = "[" + a + "]"
		}
		if !strings.Contains(strings.Join(urls, " "), "//"+a+"/") {
			urls = append(urls, "http://"+a+"/")
			args = append(args, "--allow", a)
		}
	}
	fetch := func(flags []string, urls ...string) output {
		t.Helper()
		return p.exec(append(append(slices.Clone(args), flags...), "--", "/bin/sh", "-c", "for u in "+strings.Join(urls, " ")+"; do curl -sS -g -m 10 \"$u\"; echo \" $u\"; done")...)
	}
	for _, a := range [][]string{{"addr", "add", "203.0.114.8/32", "dev", "lo"}, {"route", "add", "local", "203.0.114.128/25", "dev", "lo"}} {
		if out, err := exec.Command("ip", a...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v", out, err)
		}
	}
	if resp, err := http.Get("http://203.0.114.130/"); err != nil || resp.StatusCode != 200 {
		t.Fatalf("the host is not there: %v", err)
	}
	hits.Store(0)
	if out := fetch(nil, urls...); strings.Count(out.stdout, "address_denied") != len(urls) || hits.Load() != 0 {
		t.Errorf("%d of %d are refused, %d arrived: %+v", strings.Count(out.stdout, "address_denied"), len(urls), hits.Load(), out)
	}
	if n := len(p.find(map[string]string{"error.type": "address_denied", "url.domain": "public.example.com"})); n != 2 {
		t.Errorf("%d refusals are recorded", n)
	}
	if out := fetch([]string{"--allow-private", "203.0.114.7/32"}, "http://public.example.com/", "http://later.example.com/"); !strings.Contains(out.stdout, "the host http://public") || strings.Count(out.stdout, "address_denied") != 1 {
		t.Errorf("a prefix: %+v", out)
	}
	if out := fetch([]string{"--bind", "me.internal=http://203.0.114.7"}, "http://me.internal/", "http://public.example.com/"); !strings.Contains(out.stdout, "the host http://me") || strings.Count(out.stdout, "address_denied") != 1 {
		t.Errorf("a binding: %+v", out)
	}
	// An address that comes while it runs.
	b := p.start(t, nil, []string{"--allow", "8.8.4.4"}, "curl -sS -m 5 http://8.8.4.4/; echo up; until_file go; curl -sS -m 5 http://8.8.4.4/")
	b.until("up")
	if out, err := exec.Command("ip", "addr", "add", "8.8.4.4/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	b.tell("go")
	_ = b.cmd.Wait()
	if before, after, _ := strings.Cut(b.out.String(), "up\n"); !strings.Contains(before, "connect_failed") || !strings.Contains(after, "address_denied") || hits.Load() != 2 {
		t.Errorf("%d arrived: %s", hits.Load(), b.out)
	}
}

// hostile 104: variables that name a proxy lead nothing around the judgement of
// addresses, neither those of serve nor those of run.
func TestNoProxyBeforeUs(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	trap, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer trap.Close()
	var caught atomic.Int64
	go func() {
		for {
			c, err := trap.Accept()
			if err != nil {
				return
			}
			caught.Add(1)
			_ = c.Close()
		}
	}()
	for _, n := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		p.env = append(p.env, n+"=http://"+trap.Addr().String(), strings.ToLower(n)+"=http://"+trap.Addr().String())
	}
	script := fmt.Sprintf("env | grep -ci _proxy; curl -sS %s; curl -sS %s; curl -sS http://private.example.com/", p.http("api.example.com", "/plain"), p.https("api.example.com", "/tls"))
	allow := []string{"--allow", fmt.Sprintf("api.example.com:%d", p.origin.PlainPort), "--allow", fmt.Sprintf("api.example.com:%d", p.origin.TLSPort), "--allow", "private.example.com", "--resolve", "private.example.com=10.1.2.3"}
	run := p.sh(allow, script)
	s := p.sidecar(t, "")
	served := s.enrolled(nil, script)
	s.stop()
	for name, out := range map[string]output{"run": run, "serve": served} {
		if strings.Count(out.stdout, `"Method":"GET"`) != 2 || !strings.HasPrefix(out.stdout, "0\n") {
			t.Errorf("%s: %+v", name, out)
		}
	}
	if !strings.Contains(run.stdout, "address_denied") || caught.Load() != 0 || len(p.origin.Seen()) != 4 {
		t.Errorf("%d came to the proxy that was named: %+v", caught.Load(), run)
	}
}
