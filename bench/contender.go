package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// asked starts the crowd of a peer, and waits until each of it has been answered once.
func (g ground) asked(ctx context.Context, used func() (time.Duration, error), t task, closing func()) (*contender, error) {
	h, line, err := launch(ctx, nil, g.exe, "role", t.arg())
	if err != nil || line != "ready" {
		closing()
		return nil, errors.Join(err, errors.New(line))
	}
	return &contender{used: used, asks: h, close: func() { h.end(); closing() }}, nil
}

func startFloor(ctx context.Context, g ground) (*contender, error) {
	ca := filepath.Join(g.dir, "ca.pem")
	b, err := os.ReadFile(g.ca)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(ca, b, 0o644); err != nil {
		return nil, err
	}
	h, port, err := launch(ctx, nil, g.exe, "role", task{Role: "forward", H2: g.h2, CA: ca}.arg())
	if err != nil {
		return nil, err
	}
	return g.asked(ctx, func() (time.Duration, error) { return cpu(h.cmd.Process.Pid) }, g.crowdOf("127.0.0.1:"+port, ca+".floor"), h.end)
}

func startGate(ctx context.Context, g ground) (*contender, error) { return g.sallyport(ctx) }

func startCredentialed(ctx context.Context, g ground) (*contender, error) {
	if g.kind == "tunnel" {
		return nil, fmt.Errorf("%w: a tunnel gets no credential", errNotFor)
	}
	return g.sallyport(ctx, "--credential", "api=env:BENCH_TOKEN@https://"+g.at())
}

// sallyport runs with the crowd inside, which is told of the proxy as others are:
// a policy of a hundred hosts, and a durable record of each request and tunnel.
func (g ground) sallyport(ctx context.Context, more ...string) (*contender, error) {
	args := []string{g.gate, "run", "--quiet", "--audit", filepath.Join(g.dir, "log"), "--allow-private", "127.0.0.0/8", "--upstream-ca", g.ca, "--resolve", g.host() + "=127.0.0.1", "--mount", g.exe, "--mount", filepath.Dir(g.ca)}
	for i := range 100 {
		args = append(args, "--allow", fmt.Sprintf("host%d.example.com", i))
	}
	grant := "--allow"
	if g.kind == "tunnel" {
		grant = "--tcp"
	}
	args = append(append(args, grant, g.at()), more...)
	args = append(args, "--", g.exe, "role", g.crowdOf("127.0.0.1:3128", "/run/sallyport/ca.pem").arg())
	h, line, err := launch(ctx, []string{"BENCH_TOKEN=a-token-that-is-not-one-0123456789"}, args...)
	if err != nil || line != "ready" {
		return nil, errors.Join(err, errors.New(line))
	}
	return &contender{used: func() (time.Duration, error) { return cpu(h.cmd.Process.Pid) }, asks: h, close: h.end}, nil
}

// free is a port that nobody listened on a moment ago.
func free() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// a foreign proxy is started, and awaited at its port.
func (g ground) foreign(ctx context.Context, port int, ca string, args ...string) (*contender, error) {
	if _, err := exec.LookPath(args[0]); err != nil {
		return nil, fmt.Errorf("%w: scripts/tools.sh peers installs it", err)
	}
	out, err := os.Create(filepath.Join(g.dir, "out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, g.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end := func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}
	at := fmt.Sprintf("127.0.0.1:%d", port)
	for range 300 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		_ = c.Close()
		x, err := g.asked(ctx, func() (time.Duration, error) { return cpuOfAll(cmd.Process.Pid) }, g.crowdOf(at, ca), end)
		if err != nil {
			said, _ := os.ReadFile(filepath.Join(g.dir, "out"))
			err = fmt.Errorf("%w\n%.2000s", err, said)
		}
		return x, err
	}
	end()
	said, _ := os.ReadFile(filepath.Join(g.dir, "out"))
	return nil, fmt.Errorf("%s does not listen: %.2000s", args[0], said)
}

// startSquid starts one worker without a cache, which opens all but the tunnel.
func startSquid(ctx context.Context, g ground) (*contender, error) {
	if g.h2 {
		return nil, fmt.Errorf("%w: squid opens HTTP/1 only", errNotFor)
	}
	port, err := free()
	if err != nil {
		return nil, err
	}
	cert, text, err := selfSigned()
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, err
	}
	ca := filepath.Join(g.dir, "ca.pem")
	both := append(bytes.Clone(text), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	var allowed strings.Builder
	for i := range 100 {
		fmt.Fprintf(&allowed, "host%d.example.com\n", i)
	}
	certgen := "/usr/lib/squid/security_file_certgen"
	if out, err := exec.CommandContext(ctx, certgen, "-c", "-s", filepath.Join(g.dir, "db"), "-M", "16MB").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %s%w", certgen, out, err)
	}
	if out, err := exec.CommandContext(ctx, "chmod", "-R", "a+rwX", filepath.Join(g.dir, "db")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s%w", out, err)
	}
	conf := fmt.Sprintf(`http_port 127.0.0.1:%[1]d ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=16MB tls-cert=%[2]s
sslcrtd_program %[3]s -s %[4]s/db -M 16MB
acl step1 at_step SslBump1
acl passed ssl::server_name tunnel.example.com
ssl_bump peek step1
ssl_bump splice passed
ssl_bump bump all
tls_outgoing_options cafile=%[5]s
acl allowed dstdomain "%[4]s/allowed"
http_access allow allowed
http_access deny all
cache deny all
cache_mem 8 MB
hosts_file %[4]s/hosts
access_log stdio:%[4]s/access.log
cache_log %[4]s/cache.log
pid_filename none
coredump_dir %[4]s
netdb_filename none
shutdown_lifetime 0 seconds
client_persistent_connections on
server_persistent_connections on
visible_hostname bench
`, port, ca, certgen, g.dir, g.ca)
	for name, b := range map[string][]byte{"ca.pem": both, "allowed": []byte(allowed.String() + "tunnel.example.com\napi.example.com\n"), "hosts": []byte("127.0.0.1 api.example.com tunnel.example.com\n"), "conf": []byte(conf)} {
		if err := os.WriteFile(filepath.Join(g.dir, name), b, 0o644); err != nil {
			return nil, err
		}
	}
	return g.foreign(ctx, port, ca, "squid", "-N", "-f", filepath.Join(g.dir, "conf"))
}

// hosts is an addon that allows a hundred hosts, and knows where two of them are.
const hosts = `from mitmproxy import http
allowed = {f"host{i}.example.com" for i in range(100)} | {"api.example.com", "tunnel.example.com"}
def http_connect(flow):
    if flow.request.host not in allowed: flow.response = http.Response.make(403)
def request(flow):
    if flow.request.pretty_host not in allowed: flow.response = http.Response.make(403)
def server_connect(data):
    data.server.address = ("127.0.0.1", data.server.address[1])
`

func startMitmproxy(ctx context.Context, g ground) (*contender, error) {
	port, err := free()
	if err != nil {
		return nil, err
	}
	addon := filepath.Join(g.dir, "hosts.py")
	if err := os.WriteFile(addon, []byte(hosts), 0o644); err != nil {
		return nil, err
	}
	conf := filepath.Join(g.dir, "conf")
	return g.foreign(ctx, port, filepath.Join(conf, "mitmproxy-ca-cert.pem"), "mitmdump", "--listen-host", "127.0.0.1", "-p", strconv.Itoa(port), "-s", addon,
		"--set", "confdir="+conf, "--set", "ssl_verify_upstream_trusted_ca="+g.ca, "--set", "connection_strategy=lazy", "--set", "stream_large_bodies=1", "--ignore-hosts", `tunnel\.example\.com`)
}
