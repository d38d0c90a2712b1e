package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// server starts a program of the origin's side, which ends with the test, and
// waits until something listens.
func (tb *table) server(t *testing.T, name string, uid int, port int, args ...string) {
	t.Helper()
	tool(t, args[0], args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	out := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), Groups: []uint32{}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	tb.ports[name] = port
	for range 500 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s does not listen:\n%s", name, out)
}

// served is the port of a server.
func served(name string) func(*table) int {
	return func(tb *table) int { return tb.ports[name] }
}

// must runs a command of the set-up.
func must(t *testing.T, uid int, args ...string) {
	t.Helper()
	tool(t, args[0], args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), Groups: []uint32{}}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s%v", args, out, err)
	}
}

// postgres starts PostgreSQL, which does not run as root. It speaks TLS, too.
func (tb *table) postgres(t *testing.T) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		t.Fatal("initdb is missing: apt-get install -y postgresql")
	}
	bin, uid := filepath.Dir(found[len(found)-1]), 0
	dir, err := os.MkdirTemp("", "sallyport-pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ca := certify(t, tb.kit, "pg-ca", nil, authority)
	cert := certify(t, dir, "pg", ca, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"psql-tls.raw.example.com"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	_ = os.Remove(ca.pkey)
	_ = os.Chmod(cert.pkey, 0o600)
	if os.Getuid() == 0 {
		uid = 65534
		must(t, 0, "chown", "-R", fmt.Sprint(uid), dir)
	}
	data := filepath.Join(dir, "data")
	must(t, uid, filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "app", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	port := freePort(t)
	tb.server(t, "postgres", uid, port, filepath.Join(bin, "postgres"), "-D", data, "-p", fmt.Sprint(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off",
		"-c", "ssl=on", "-c", "ssl_cert_file="+cert.crt, "-c", "ssl_key_file="+cert.pkey)
}

// login is who logs in by ssh.
func (tb *table) login() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "root"
}

// sshd starts one that lets whoever runs the tests in with the key of the kit, and
// keeps a repository.
func (tb *table) sshd(t *testing.T) {
	dir := t.TempDir()
	must(t, 0, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "host"))
	must(t, 0, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(tb.kit, "id"))
	if os.Getuid() == 0 {
		_ = os.MkdirAll("/run/sshd", 0o755)
	}
	host, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	for name, text := range map[string]string{
		filepath.Join(dir, "sshd_config"): fmt.Sprintf("ListenAddress 127.0.0.1:%d\nHostKey %s/host\nAuthorizedKeysFile %s/id.pub\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nLogLevel VERBOSE\n", port, dir, tb.kit),
		filepath.Join(tb.kit, "known"):    "* " + string(host),
		// The kit is somewhere else in each sandbox, so ssh is told where by its caller.
		filepath.Join(tb.kit, "ssh"): "#!/bin/sh\nexec ssh -F none -i \"$KIT/id\" -o UserKnownHostsFile=\"$KIT/known\" -o BatchMode=yes -o ConnectTimeout=30 ${THROUGH:+-o ProxyCommand=\"$THROUGH %h %p\"} \"$@\"\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tb.server(t, "ssh", 0, port, "/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	repo := filepath.Join(dir, "repo")
	must(t, 0, "git", "init", "-q", "-b", "main", repo)
	must(t, 0, "git", "-C", repo, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "over ssh")
	tb.repo = repo
}

// others starts the servers that need no more than a line.
func (tb *table) others(t *testing.T) {
	port := freePort(t)
	tb.server(t, "redis", 0, port, "redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	port = freePort(t)
	tb.server(t, "smtp", 0, port, "/usr/bin/python3", "-m", "aiosmtpd", "-n", "-l", fmt.Sprintf("127.0.0.1:%d", port), "-c", "aiosmtpd.handlers.Sink")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	tb.ports["echo"] = l.Addr().(*net.TCPAddr).Port
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
}

// nameServer is the operator's: every name is at 127.0.0.1 there, and has a text.
func (tb *table) nameServer(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tb.ports["dns"] = c.LocalAddr().(*net.UDPAddr).Port
	s := &mdns.Server{PacketConn: c, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		r := new(mdns.Msg)
		r.SetReply(q)
		h := mdns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: mdns.ClassINET, Ttl: 1}
		switch h.Rrtype {
		case mdns.TypeA:
			r.Answer = append(r.Answer, &mdns.A{Hdr: h, A: net.IPv4(127, 0, 0, 1)})
		case mdns.TypeTXT:
			r.Answer = append(r.Answer, &mdns.TXT{Hdr: h, Txt: []string{"told by a name server"}})
		}
		_ = w.WriteMsg(r)
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
}

// equip starts all servers and fills the kit.
func (tb *table) equip(t *testing.T) {
	tb.ports = map[string]int{}
	for name, text := range map[string]string{"client.js": nodeClient, "client.py": pythonClient, "ws.py": websocketClient, "tunnel.py": tunnel, "origin-ca.crt": string(tb.origin.CAPEM()), "resolv.conf": "nameserver 198.18.0.1\n"} {
		if err := os.WriteFile(filepath.Join(tb.kit, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tb.postgres(t)
	tb.sshd(t)
	tb.others(t)
	tb.nameServer(t)
	tb.callers(t)
}
