package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sallyport/origin"
	"sallyport/origin/world"
)

// recordTypes are records of each zone, with the type that they are of, and how dig
// shows them inside where they are granted.
var recordTypes = []struct{ kind, name, data, want string }{
	{"TXT", "ZONE", `TXT "one text" "and more"`, `"one text" "and more"`},
	{"MX", "ZONE", "MX 10 mail.ZONE.", "10 mail.ZONE."},
	{"NS", "ZONE", "NS ns.ZONE.", "ns.ZONE."},
	{"SOA", "ZONE", "SOA ns.ZONE. admin.ZONE. 7 3600 600 86400 60", "ns.ZONE. admin.ZONE. 7 3600 600 86400 60"},
	{"CAA", "ZONE", `CAA 0 issue "ca.example"`, `0 issue "ca.example"`},
	{"SRV", "_ldap._tcp.ZONE", "SRV 1 2 389 ldap.ZONE.", "1 2 389 ldap.ZONE."},
	{"HTTPS", "www.ZONE", `HTTPS 1 . alpn="h3,h2" port=8443 ipv4hint=192.0.2.9 ipv6hint=2001:db8::9 ech="AEn+DQBFKwAgACABWIHUGj4u+PIggYXcR5JF0gYk3dCRioBW8uJq9H4mKAAIAAEAAQABAANAEnB1YmxpYy50bHMtZWNoLmRldgAA"`, `1 . alpn="h2" port=8443`},
	{"SVCB", "_dns.ZONE", "SVCB 1 dns.ZONE. alpn=dot,h2 ipv4hint=192.0.2.9", `1 dns.ZONE. alpn="dot,h2"`},
	{"CNAME", "alias.ZONE", "CNAME www.ZONE.", "www.ZONE."},
	{"NAPTR", "sip.ZONE", `NAPTR 10 20 "s" "SIP+D2T" "" _sip._tcp.ZONE.`, `10 20 "s" "SIP+D2T" "" _sip._tcp.ZONE.`},
	{"TLSA", "_443._tcp.ZONE", "TLSA 3 1 1 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF", "3 1 1 00112233445566778899AABBCCDDEEFF00112233445566778899AABB CCDDEEFF"},
	{"SSHFP", "ssh.ZONE", "SSHFP 4 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF", "4 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABB CCDDEEFF"},
	{"URI", "_http._tcp.ZONE", `URI 1 2 "https://www.ZONE/"`, `1 2 "https://www.ZONE/"`},
	{"TYPE65280", "own.ZONE", `TYPE65280 \# 3 010203`, `\# 3 010203`},
}

// zones has unbound serve some names as this machine's name server, and returns its
// log of what it was asked.
func zones(t *testing.T) (log string) {
	t.Helper()
	tool(t, "unbound", "unbound")
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n directory: %[1]q\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"%[1]s/log\"\n log-queries: yes\n do-daemonize: no\n interface: 127.0.0.1\n access-control: 127.0.0.0/8 allow\n module-config: \"iterator\"\n", dir)
	for _, zone := range []string{"example.com", "example.org"} {
		fmt.Fprintf(&b, " local-zone: %q static\n", zone)
		for _, r := range recordTypes {
			fmt.Fprintf(&b, " local-data: '%s'\n", strings.ReplaceAll(r.name+". "+r.data, "ZONE", zone))
		}
		for i := range 20 {
			fmt.Fprintf(&b, " local-data: 'big.%s. TXT \"%d %s\"'\n", zone, i, strings.Repeat("x", 200))
		}
	}
	b.WriteString(" local-zone: \"8.8.8.8.in-addr.arpa\" static\n local-data-ptr: \"8.8.8.8 dns.example\"\n local-zone: \"1.0.0.10.in-addr.arpa\" static\n local-data-ptr: \"10.0.0.1 secret.corp.example\"\nremote-control:\n control-enable: no\n")
	conf := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(conf, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unbound", "-d", "-c", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 500 {
		if r, err := mdns.Exchange(new(mdns.Msg).SetQuestion("example.com.", mdns.TypeTXT), "127.0.0.1:53"); err == nil && len(r.Answer) == 1 {
			return filepath.Join(dir, "log")
		}
		time.Sleep(10 * time.Millisecond)
	}
	text, _ := os.ReadFile(filepath.Join(dir, "log"))
	t.Fatalf("unbound does not come up:\n%s%s", out, text)
	return ""
}

// dnsPolicy writes a policy and returns where it is.
func (p *place) dnsPolicy(rules string) string {
	p.t.Helper()
	dir := filepath.Join(filepath.Dir(p.dir), "names")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "p.rego"), []byte("package egress.dns\n\n"+rules), 0o644); err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// hostile 37, 94, 95, 313: with dig, from inside and against a real name server: each
// type where it is granted and where it is not, over UDP and TCP, cut and whole. What
// is not granted is not asked.
func TestRecordTypes(t *testing.T) {
	tool(t, "dig", "bind9-dnsutils")
	if !world.Enter(t) {
		return
	}
	world.Addresses(t)
	log := zones(t)
	world.File(t, "/etc/resolv.conf", "nameserver 127.0.0.1\n")
	asked := func(text string) bool {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(b), text)
	}
	var script strings.Builder
	for _, zone := range []string{"example.com", "example.org"} {
		for _, r := range recordTypes {
			fmt.Fprintf(&script, "echo \"%[1]s %[2]s: $(dig +short +time=10 +tries=1 -t %[1]s %[3]s)\"; ", r.kind, zone, strings.ReplaceAll(r.name, "ZONE", zone))
		}
	}
	script.WriteString(`
d() { echo "$1: $(shift; dig +time=10 +tries=1 "$@" | sed -n 's/.*status: \([A-Z]*\).*/\1/p; s/.*flags: \([a-z ]*\);.*ANSWER: \([0-9]*\),.*/\1 \2/p' | tr '\n' ' ')"; }
d "cut" +ignore +bufsize=1232 -t TXT big.example.com
d "cut without EDNS" +noedns +ignore -t TXT big.example.com
d "whole" -t TXT big.example.com
d "over TCP" +tcp -t TXT example.com
d "in other case" -t TXT ExAmPlE.cOm
d "another class" -c CH -t TXT example.com
d "everything" -t ANY example.com
d "anything" -t NULL example.com
echo "transfer: $(dig -t AXFR example.com | grep -c example.com..*SOA)"
d "addresses" -t APL example.com
d "no such name" -t TXT none.example.com
d "no such type" -t TXT www.example.com
echo "PTR: $(dig +short -x 8.8.8.8)"
echo "PTR of a private network: $(dig +short -x 10.0.0.1)"
echo "PTR of ours: $(dig +short -x $(dig +short mail.example.com))"
echo "the mail server: $(dig +short $(dig +short -t MX example.com | cut -d' ' -f2))"
for i in $(seq 90); do echo "$i.tunnel.example.com TXT +tries=1"; done > many
echo "a tunnel is refused $(dig -f many | grep -c 'status: REFUSED') times"`)
	for _, who := range callers() {
		p := newPlace(t, who, origin.Options{})
		pol := p.dnsPolicy("allow if \"example.com\" in input.question.name_suffixes\n\nallow if input.question.type == \"PTR\"\n")
		out := p.sh([]string{"--policy", pol}, script.String())
		for _, r := range recordTypes {
			if want := "\n" + r.kind + " example.com: " + strings.ReplaceAll(r.want, "ZONE", "example.com") + "\n"; !strings.Contains("\n"+out.stdout, want) {
				t.Errorf("%s: %q is not there", who.name, want)
			}
			if !asked("example.com. " + r.kind) {
				t.Errorf("%s: %s is not asked for", who.name, r.kind)
			}
			if !strings.Contains(out.stdout, "\n"+r.kind+" example.org: \n") || asked("example.org. "+r.kind) {
				t.Errorf("%s: %s is told, or asked for, where nothing grants it", who.name, r.kind)
			}
			if n := len(p.find(map[string]string{"event.name": "egress.dns.decision", "policy.decision": "deny", "dns.question.type": r.kind, "policy.code": "default_deny"})); n != 1 {
				t.Errorf("%s: %d refusals of %s are recorded", who.name, n, r.kind)
			}
		}
		for _, want := range []string{"cut: NOERROR qr tc rd ra 5", "cut without EDNS: NOERROR qr tc rd ra 2", "whole: NOERROR qr rd ra 20", "over TCP: NOERROR qr rd ra 1", "in other case: NOERROR qr rd ra 1", "another class: REFUSED qr rd ra 0",
			"everything: NOERROR qr rd ra 0", "anything: NOERROR qr rd ra 0", "addresses: NOERROR qr rd ra 0", "no such name: NXDOMAIN qr rd ra 0", "no such type: NOERROR qr rd ra 0", "transfer: 0",
			"PTR: dns.example.", "PTR of a private network: ", "PTR of ours: mail.example.com.", "the mail server: 198.18.0."} {
			if !strings.Contains(out.stdout, "\n"+want) || strings.Contains(out.stdout, "secret") {
				t.Errorf("%s: no %q", who.name, want)
			}
		}
		if n := len(p.find(map[string]string{"policy.code": "too_many_questions", "event.name": "egress.dns.decision"})); n == 0 || strings.Contains(out.stdout, "a tunnel is refused 0 times") {
			t.Errorf("%s: %d questions of a tunnel are refused: %s", who.name, n, out.stdout)
		}
		if !strings.Contains(out.stderr, "refused  dns NS example.org  default_deny") {
			t.Errorf("%s: the summary is %s", who.name, out.stderr)
		}
		for _, never := range []string{"example.com. ANY", "example.com. NULL", "example.com. AXFR", "example.com. APL", "10.in-addr.arpa"} {
			if asked(never) {
				t.Errorf("%s: %s is asked", who.name, never)
			}
		}
	}
}

// hostile 146: a name server that lies to a sandbox to which its names are granted.
func TestLyingNameServer(t *testing.T) {
	tool(t, "dig", "bind9-dnsutils")
	if !world.Enter(t) {
		return
	}
	world.Addresses(t)
	world.File(t, "/etc/resolv.conf", "nameserver 127.0.0.1\n")
	var asked atomic.Int64
	txt := func(name, text string) mdns.RR {
		return &mdns.TXT{Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET, Ttl: 1 << 31}, Txt: []string{text}}
	}
	lies := map[string]func(*mdns.Msg){
		"true":  func(r *mdns.Msg) { r.Answer = append(r.Answer, txt(r.Question[0].Name, "true")) },
		"id":    func(r *mdns.Msg) { r.Id++; r.Answer = append(r.Answer, txt(r.Question[0].Name, "lie")) },
		"other": func(r *mdns.Msg) { r.Answer = append(r.Answer, txt("bank.example.", "lie")) },
		"question": func(r *mdns.Msg) {
			r.Question[0].Name = "bank.example."
			r.Answer = append(r.Answer, txt("bank.example.", "lie"))
		},
		"thousand": func(r *mdns.Msg) {
			for i := range 1000 {
				r.Answer = append(r.Answer, txt(r.Question[0].Name, fmt.Sprint("lie ", i)))
			}
		},
		"loop": func(r *mdns.Msg) {
			n := r.Question[0].Name
			r.Answer = append(r.Answer, &mdns.CNAME{Hdr: mdns.RR_Header{Name: n, Rrtype: mdns.TypeCNAME, Class: mdns.ClassINET}, Target: "x." + n}, &mdns.CNAME{Hdr: mdns.RR_Header{Name: "x." + n, Rrtype: mdns.TypeCNAME, Class: mdns.ClassINET}, Target: n})
		},
		"addresses": func(r *mdns.Msg) {
			a := &mdns.A{Hdr: mdns.RR_Header{Name: r.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET}, A: net.IPv4(192, 0, 2, 66)}
			r.Answer, r.Extra, r.Ns = append(r.Answer, a), append(r.Extra, a), append(r.Ns, a)
		},
	}
	h := mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		asked.Add(1)
		r := new(mdns.Msg)
		r.SetReply(q)
		r.Compress = true
		lies[strings.Split(q.Question[0].Name, ".")[0]](r)
		if _, tcp := w.RemoteAddr().(*net.TCPAddr); !tcp {
			r.Truncate(1232)
		}
		_ = w.WriteMsg(r)
	})
	for _, network := range []string{"udp", "tcp"} {
		up := make(chan struct{})
		s := &mdns.Server{Addr: "127.0.0.1:53", Net: network, Handler: h, NotifyStartedFunc: func() { close(up) }}
		go func() { _ = s.ListenAndServe() }()
		<-up
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	pol := p.dnsPolicy("allow if input.question.type == \"TXT\"\n")
	out := p.sh([]string{"--policy", pol}, `for n in true other question thousand loop addresses id; do dig +time=15 +tries=1 -t TXT $n.example > out; echo "$n $(sed -n 's/.*status: \([A-Z]*\).*/\1/p' out) $(grep -c 'IN.TXT."' out) $(grep -c 192.0.2.66 out)"; done; cat out; dig -t TXT true.example | grep 'IN.TXT."'`)
	for _, want := range []string{"true NOERROR 1 0\n", "other NOERROR 0 0\n", "question SERVFAIL 0 0\n", "thousand SERVFAIL 0 0\n", "loop SERVFAIL 0 0\n", "addresses NOERROR 0 0\n", "id SERVFAIL 0 0\n", "\t60\tIN\tTXT\t\"true\"\n"} {
		if !strings.Contains(out.stdout, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(out.stdout, "lie") || asked.Load() < 7 {
		t.Errorf("asked %d times: %+v", asked.Load(), out)
	}
	for code, n := range map[string]int{"upstream_malformed": 1, "name_unresolved": 1, "upstream_timeout": 2} {
		if got := len(p.find(map[string]string{"event.name": "egress.dns.query", "error.type": code})); got != n {
			t.Errorf("%s is recorded %d times", code, got)
		}
	}
}
