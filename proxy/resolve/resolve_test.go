package resolve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// authority makes the certificate of dns.example and writes it with its key; it is
// its own CA.
func authority(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dns.example"}, DNSNames: []string{"dns.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: pkcs}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	parsed, _ := x509.ParseCertificate(der)
	pool.AddCert(parsed)
	return pool
}

// ports4 are free ones.
func ports4(t *testing.T, n int) (out []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out
}

// unbound serves some names over all four transports.
func unbound(t *testing.T) (at []int, roots *x509.CertPool) {
	t.Helper()
	if _, err := exec.LookPath("unbound"); err != nil {
		t.Fatal("unbound is missing: apt-get install -y unbound")
	}
	dir := t.TempDir()
	roots = authority(t, dir)
	at = ports4(t, 3)
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n directory: %q\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n do-daemonize: no\n num-threads: 1\n port: %d\n", dir, at[0])
	for _, p := range at {
		fmt.Fprintf(&b, " interface: 127.0.0.1@%d\n", p)
	}
	fmt.Fprintf(&b, " tls-port: %d\n https-port: %d\n tls-service-key: key.pem\n tls-service-pem: cert.pem\n module-config: \"iterator\"\n do-not-query-localhost: yes\n access-control: 127.0.0.0/8 allow\n local-zone: \"example.\" static\n", at[1], at[2])
	for _, rr := range []string{"a.example. A 192.0.2.1", "a.example. AAAA 2001:db8::1", "four.example. A 192.0.2.4", "text.example. TXT told"} {
		fmt.Fprintf(&b, " local-data: %q\n", rr)
	}
	for i := range 200 {
		fmt.Fprintf(&b, " local-data: \"many.example. A 192.0.2.%d\"\n", i+1)
	}
	b.WriteString("remote-control:\n control-enable: no\n")
	conf := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(conf, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unbound", "-d", "-c", conf)
	var log strings.Builder
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 500 {
		if c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", at[2])); err == nil {
			_ = c.Close()
			return at, roots
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("unbound does not come up:\n%s", log.String())
	return nil, nil
}

func made(t *testing.T, o Options, urls ...string) *Resolver {
	t.Helper()
	var of []Server
	for _, u := range urls {
		s, err := Parse(u)
		if err != nil {
			t.Fatal(u, err)
		}
		of = append(of, s)
	}
	r, err := New(of, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// A real server over each transport: addresses, other types, what does not exist,
// and more than a datagram holds.
func TestTransports(t *testing.T) {
	at, roots := unbound(t)
	for _, u := range []string{fmt.Sprintf("udp://127.0.0.1:%d", at[0]), fmt.Sprintf("tcp://127.0.0.1:%d", at[0]),
		fmt.Sprintf("tls://127.0.0.1:%d#dns.example", at[1]), fmt.Sprintf("https://127.0.0.1:%d/dns-query#dns.example", at[2])} {
		r := made(t, Options{Roots: roots}, u)
		for range 3 { // on a connection that was used before
			got, err := r.LookupNetIP(t.Context(), "ip", "A.example.")
			if err != nil || fmt.Sprint(got) != "[2001:db8::1 192.0.2.1]" {
				t.Errorf("%s: %v %v", u, got, err)
			}
		}
		if got, err := r.LookupNetIP(t.Context(), "ip", "four.example."); err != nil || fmt.Sprint(got) != "[192.0.2.4]" {
			t.Errorf("%s: one family: %v %v", u, got, err)
		}
		for _, name := range []string{"none.example.", "text.example."} {
			var ne *net.DNSError
			if got, err := r.LookupNetIP(t.Context(), "ip", name); !errors.As(err, &ne) || !ne.IsNotFound || ne.IsTimeout {
				t.Errorf("%s: %s: %v %v", u, name, got, err)
			}
		}
		b, err := r.Exchange(t.Context(), "text.example", dns.TypeTXT)
		m := new(dns.Msg)
		if err != nil || m.Unpack(b) != nil || len(m.Answer) != 1 || m.Answer[0].(*dns.TXT).Txt[0] != "told" {
			t.Errorf("%s: %v %v", u, m, err)
		}
		if b, err = r.Exchange(t.Context(), "many.example.", dns.TypeA); err != nil || m.Unpack(b) != nil || len(m.Answer) != 200 {
			t.Errorf("%s: %d of 200 records, %v", u, len(m.Answer), err)
		}
		if got, err := r.LookupNetIP(t.Context(), "ip4", "many.example."); err != nil || len(got) != maxAddresses {
			t.Errorf("%s: %d addresses, %v", u, len(got), err)
		}
		if st := r.Stats(); st[0].Asked < 10 || st[0].Failed != 0 || st[0].Server != u {
			t.Errorf("%+v", st)
		}
	}
	// Who cannot prove its name is not asked, and the next one is.
	next := fmt.Sprintf("tcp://127.0.0.1:%d", at[0])
	for _, u := range []string{fmt.Sprintf("tls://127.0.0.1:%d#other.example", at[1]), fmt.Sprintf("https://127.0.0.1:%d/dns-query", at[2])} {
		r := made(t, Options{Roots: roots}, u, next)
		if got, err := r.LookupNetIP(t.Context(), "ip", "a.example."); err != nil || len(got) != 2 {
			t.Errorf("%s: %v %v", u, got, err)
		}
		if st := r.Stats(); st[0].Failed == 0 || st[1].Failed != 0 {
			t.Errorf("%+v", st)
		}
	}
}

// answering serves UDP and TCP with a handler, on one port.
func answering(t *testing.T, h dns.HandlerFunc) string {
	t.Helper()
	var c net.PacketConn
	var l net.Listener
	for range 50 { // a port that is free in one may be taken in the other
		var err error
		if c, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if l, err = net.Listen("tcp", c.LocalAddr().String()); err == nil {
			break
		}
		_ = c.Close()
	}
	if l == nil {
		t.Fatal("no port is free in both UDP and TCP")
	}
	for _, s := range []*dns.Server{{PacketConn: c, Handler: h}, {Listener: l, Handler: h}} {
		go func() { _ = s.ActivateAndServe() }()
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return "udp://" + c.LocalAddr().String()
}

func rr(t testing.TB, s string) dns.RR {
	t.Helper()
	out, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hostile 320: what a server says besides the answer, or in its place, is not
// believed.
func TestHostileAnswers(t *testing.T) {
	chain := func(m *dns.Msg, n int) {
		for i := range n {
			m.Answer = append(m.Answer, rr(t, fmt.Sprintf("%s CNAME c%d.", strings.Replace(fmt.Sprintf("c%d.", i-1), "c-1.", "x.example.", 1), i)))
		}
		m.Answer = append(m.Answer, rr(t, fmt.Sprintf("c%d. A 192.0.2.1", n-1)))
	}
	for name, c := range map[string]struct {
		change func(*dns.Msg)
		want   string // an address, or what the error says
	}{
		"honest":                {func(*dns.Msg) {}, "[192.0.2.1]"},
		"another id":            {func(m *dns.Msg) { m.Id++ }, "timeout"},
		"another name":          {func(m *dns.Msg) { m.Question[0].Name = "y.example." }, "timeout"},
		"another type":          {func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX }, "timeout"},
		"no question":           {func(m *dns.Msg) { m.Question = nil }, "timeout"},
		"a query":               {func(m *dns.Msg) { m.Response = false }, "timeout"},
		"an address of another": {func(m *dns.Msg) { m.Answer[0].Header().Name = "y.example." }, "no address"},
		"another class":         {func(m *dns.Msg) { m.Answer[0].Header().Class = dns.ClassCHAOS }, "no address"},
		"only additional":       {func(m *dns.Msg) { m.Extra, m.Answer = append(m.Extra, m.Answer...), nil }, "no address"},
		"an alias":              {func(m *dns.Msg) { m.Answer = nil; chain(m, 3) }, "[192.0.2.1]"},
		"aliases without end":   {func(m *dns.Msg) { m.Answer = nil; chain(m, 40) }, "without end"},
		"a circle": {func(m *dns.Msg) {
			m.Answer = []dns.RR{rr(t, "x.example. CNAME y.example."), rr(t, "y.example. CNAME x.example.")}
		}, "without end"},
		"SERVFAIL": {func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }, "SERVFAIL"},
		"REFUSED":  {func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }, "REFUSED"},
		"cut":      {func(m *dns.Msg) { m.Truncated = true }, "is cut"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := answering(t, func(w dns.ResponseWriter, q *dns.Msg) {
				m := new(dns.Msg)
				m.SetReply(q)
				if m.Answer = []dns.RR{rr(t, "x.example. A 192.0.2.1")}; q.Question[0].Name != "x.example." {
					m.Answer = []dns.RR{rr(t, q.Question[0].Name+" CNAME z"+q.Question[0].Name)}
				}
				c.change(m)
				_ = w.WriteMsg(m)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			defer cancel()
			got, err := made(t, Options{}, u).LookupNetIP(ctx, "ip4", "x.example.")
			if s := fmt.Sprint(got, err); !strings.Contains(s, c.want) || (err == nil) != (c.want[0] == '[') {
				t.Errorf("%v %v, and not %s", got, err, c.want)
			}
		})
	}
}

// A server that is down costs its time once: then the others are asked first.
func TestOrder(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	good := answering(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Answer = []dns.RR{rr(t, "x.example. A 192.0.2.1")}
		_ = w.WriteMsg(m)
	})
	r := made(t, Options{}, "udp://"+silent.LocalAddr().String(), good)
	for range 5 {
		if got, err := r.LookupNetIP(t.Context(), "ip4", "x.example."); err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("192.0.2.1") {
			t.Fatal(got, err)
		}
	}
	if st := r.Stats(); st[0].Asked != 1 || st[0].Failed != 1 || st[1].Asked != 5 || st[1].Failed != 0 {
		t.Errorf("%+v", st)
	}
	// Nobody waits longer than asked to, and that is no failure of the server.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	only := made(t, Options{}, "udp://"+silent.LocalAddr().String())
	if _, err := only.LookupNetIP(ctx, "ip4", "x.example."); err == nil || only.Stats()[0].Failed != 0 {
		t.Errorf("%v %+v", err, only.Stats())
	}
}

// The servers of a file are those that it names now.
func TestSystem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	s := NewSystem(file)
	if _, err := s.Exchange(t.Context(), "x.example", dns.TypeA); err == nil {
		t.Error("no file is no error")
	}
	if err := os.WriteFile(file, []byte("search a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LookupNetIP(t.Context(), "ip", "x.example."); err == nil || !strings.Contains(err.Error(), "names no server") {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.53\nnameserver ::1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = os.Chtimes(file, time.Now(), time.Now().Add(time.Minute))
	r, err := s.now()
	if err != nil || fmt.Sprint(r.Stats()) != "[{udp://127.0.0.53:53 0 0} {udp://[::1]:53 0 0}]" {
		t.Errorf("%v %v", r, err)
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"udp://192.0.2.1":                       "udp://192.0.2.1:53",
		"tcp://[2001:db8::1]:5353":              "tcp://[2001:db8::1]:5353",
		"tls://192.0.2.1#dns.example":           "tls://192.0.2.1:853#dns.example",
		"https://dns.example/dns-query":         "https://dns.example:443/dns-query",
		"https://192.0.2.1:8443/q#dns.example":  "https://192.0.2.1:8443/q#dns.example",
		"192.0.2.1":                             "",
		"udp://dns.example":                     "",
		"udp://192.0.2.1/x":                     "",
		"udp://192.0.2.1#dns.example":           "",
		"udp://0.0.0.0":                         "",
		"udp://192.0.2.1:0":                     "",
		"udp://192.0.2.1:99999":                 "",
		"https://dns.example":                   "",
		"https://me@dns.example/dns-query":      "",
		"https://dns.example/dns-query?x=y":     "",
		"quic://192.0.2.1":                      "",
		"tls://":                                "",
		"udp://[fe80::1%25eth0]":                "",
		"https://dns.example:443:443/dns-query": "",
	} {
		s, err := Parse(in)
		if (err == nil) != (want != "") || err == nil && s.String() != want {
			t.Errorf("%s: %q %v", in, s, err)
		}
	}
}
