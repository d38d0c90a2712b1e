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
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/origin/world"
)

// resolves answers for these names on 127.0.0.1:53, which becomes the machine's
// name server.
func resolves(t *testing.T, names map[string]string) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	s := &mdns.Server{PacketConn: c, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		r := new(mdns.Msg)
		r.SetReply(q)
		h := mdns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: mdns.ClassINET, Ttl: 1}
		a, err := netip.ParseAddr(names[strings.TrimSuffix(q.Question[0].Name, ".")])
		switch {
		case err != nil:
			r.Rcode = mdns.RcodeNameError
		case a.Is4() && h.Rrtype == mdns.TypeA:
			r.Answer = append(r.Answer, &mdns.A{Hdr: h, A: a.AsSlice()})
		case a.Is6() && h.Rrtype == mdns.TypeAAAA:
			r.Answer = append(r.Answer, &mdns.AAAA{Hdr: h, AAAA: a.AsSlice()})
		}
		_ = w.WriteMsg(r)
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
	world.File(t, "/etc/resolv.conf", "nameserver 127.0.0.1\n")
}

// hostile 1, 3, 8 to 11, 15, 29: the proxy stands where metadata services and
// private addresses are reached in one step, and does not take it.
func TestOwnedAddresses(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "ip", "iproute2")
	if !world.Enter(t) {
		return
	}
	addrs := map[string]string{"aws": "169.254.169.254", "aws6": "fd00:ec2::254", "ecs": "169.254.170.2", "alibaba": "100.100.100.200", "lan": "10.0.0.1", "home": "192.168.1.1",
		"site": "172.16.0.1", "cgnat": "100.64.0.1", "local6": "fd12::1", "link6": "fe80::1", "loop": "127.0.0.1", "loop6": "::1"}
	var own []string
	names := map[string]string{"metadata.google.internal": "169.254.169.254", "localhost.example": "127.0.0.1"}
	for n, a := range addrs {
		names[n+".example.com"] = a
		if !strings.HasPrefix(n, "loop") {
			ip := netip.MustParseAddr(a)
			own = append(own, netip.PrefixFrom(ip, ip.BitLen()).String())
		}
	}
	world.Addresses(t, own...)
	var hits atomic.Int64
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { hits.Add(1); _, _ = io.WriteString(w, "the keys") })}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	resolves(t, names)
	if _, err := http.Get("http://169.254.169.254/"); err != nil || hits.Load() != 1 {
		t.Fatalf("the service is not there: %v", err)
	}
	hits.Store(0)
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	args := []string{"run", "--audit", p.log, "--allow", "*.example.com", "--allow", "localhost.example", "--allow", "metadata.google.internal"}
	urls := []string{"http://metadata.google.internal/", "http://localhost.example/"}
	for n, a := range addrs {
		urls = append(urls, "http://"+n+".example.com/")
		if n == "link6" || strings.HasPrefix(n, "loop") { // these are the sandbox's own
			continue
		}
		if strings.Contains(a, ":") {
			a = "[" + a + "]"
		}
		urls = append(urls, "http://"+a+"/")
		args = append(args, "--allow", a)
	}
	out := p.exec(append(args, "--", "/bin/sh", "-c", "for u in "+strings.Join(urls, " ")+"; do curl -sS -g -m 10 \"$u\"; echo \" $u\"; done")...)
	if n := strings.Count(out.stdout, "address_denied"); n != len(urls) || hits.Load() != 0 {
		t.Errorf("%d of %d are refused, %d arrived: %+v", n, len(urls), hits.Load(), out)
	}
	// --allow-private opens what it names, and metadata services only a binding.
	out = p.exec(append(append([]string{"run", "--allow-private", "0.0.0.0/0", "--allow-private", "fd00::/8"}, args[1:]...), "--", "/bin/sh", "-c",
		"for u in http://aws.example.com/ http://aws6.example.com/ http://169.254.169.254/ http://metadata.google.internal/ http://alibaba.example.com/; do curl -sS -m 10 $u; done; curl -sS http://lan.example.com/")...)
	if n := strings.Count(out.stdout, "address_denied"); n != 5 || hits.Load() != 1 || !strings.HasSuffix(out.stdout, "the keys") {
		t.Errorf("with --allow-private %d of 5 are refused, %d arrived: %+v", n, hits.Load(), out)
	}
	if out = p.exec("run", "--audit", p.log, "--bind", "metadata.internal=http://169.254.169.254", "--", "curl", "-sS", "http://metadata.internal/"); out.stdout != "the keys" {
		t.Errorf("a binding: %+v", out)
	}
}

// A background is sallyport while the test does something to it.
type background struct {
	t   testing.TB
	cmd *exec.Cmd
	out *syncBuffer
	dir string
}

// start runs sallyport, with a shell whose script can wait for files by `until_file NAME`.
func (p *place) start(t *testing.T, wrap, flags []string, script string) *background {
	t.Helper()
	args := append(append([]string{}, wrap...), binary, "run", "--audit", p.log, "--allow-private", "127.0.0.0/8", "--upstream-ca", p.ca, "--resolve", "api.example.com=127.0.0.1")
	args = append(append(args, flags...), "--", "/bin/sh", "-c", "until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }; "+script)
	return p.spawn(t, args...)
}

// spawn starts a command as the caller, which ends with the test.
func (p *place) spawn(t testing.TB, args ...string) *background {
	t.Helper()
	b := &background{t: t, out: &syncBuffer{}, dir: p.dir}
	b.cmd = exec.Command(args[0], args[1:]...)
	b.cmd.Dir, b.cmd.Env = p.dir, p.env
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.out
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.who.uid != 0 {
		b.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(p.who.uid), Gid: uint32(p.who.uid), Groups: []uint32{}}
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.cmd.Process.Kill(); _ = b.cmd.Wait() })
	return b
}

// until waits for text in what was written.
func (b *background) until(text string) {
	b.t.Helper()
	for range 1500 {
		if strings.Contains(b.out.String(), text) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.t.Fatalf("%q did not come:\n%s", text, b.out)
}

// tell makes a file that the script waits for.
func (b *background) tell(name string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), nil, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

const code = `curl -sS -o /dev/null -w '%{http_code}' `

// hostile 154: on a full disk allows are 503 and nothing is sent; when it has
// room the same segment goes on. On one that cannot be written nothing starts.
func TestAuditUnavailable(t *testing.T) {
	tool(t, "curl", "curl")
	if !world.Enter(t) {
		return
	}
	world.Addresses(t)
	for _, who := range callers() {
		p := newPlace(t, who, origin.Options{})
		world.Disk(t, p.log, "4m")
		b := p.start(t, nil, []string{"--allow", fmt.Sprintf("api.example.com:%d", p.origin.PlainPort)}, fmt.Sprintf(
			`echo first $(%[1]s%[2]s); until_file full; for i in 1 2 3 4 5 6 7 8; do echo full $(%[1]s%[2]s); done; curl -sS %[2]s; until_file free; echo again $(%[1]s%[2]s)`, code, p.http("api.example.com", "/")))
		b.until("first 200")
		fill, err := os.Create(filepath.Join(p.log, "fill"))
		if err != nil {
			t.Fatal(err)
		}
		for n := 1 << 16; n > 0; { // to the last byte
			if _, err := fill.Write(make([]byte, n)); err != nil {
				n /= 16
			}
		}
		_ = fill.Close()
		b.tell("full")
		b.until("audit_unavailable: the audit log cannot be written, so nothing is sent")
		// The last page may take some records yet; from the first that it does not take
		// all are refused, and the origin sees what was answered and no more.
		taken := strings.Count(b.out.String(), "200\n")
		if n := strings.Count(b.out.String(), "full 503"); n < 3 || n+taken != 9 || strings.Contains(b.out.String(), "503\nfull 200") || len(p.origin.Seen()) != taken {
			t.Errorf("%s: %d refused, %d taken, the origin saw %d:\n%s", who.name, n, taken, len(p.origin.Seen()), b.out)
		}
		_ = os.Remove(fill.Name())
		b.tell("free")
		b.until("again 200")
		_ = b.cmd.Wait()
		p.verified()
		if rep, err := audit.Verify(p.log, audit.Expect{}); err != nil || rep.Segments != 1 {
			t.Errorf("%v %v", rep, err)
		}
		_ = os.Remove(filepath.Join(p.dir, "full"))

		ro := newPlace(t, who, origin.Options{})
		world.Disk(t, ro.log, "1m")
		world.ReadOnly(t, ro.log)
		if out := ro.sh(nil, "echo ran"); out.code != 125 || strings.Contains(out.stdout, "ran") || !strings.Contains(out.stderr, "read-only file system") {
			t.Errorf("%s: %+v", who.name, out)
		}
	}
}
