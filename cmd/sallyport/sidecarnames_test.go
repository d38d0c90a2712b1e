package main

import (
	"fmt"
	"net"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"sallyport/origin"
)

// Beside a sidecar, each sandbox asks what its own policy grants, of the name servers
// of the configuration; a pause and a reload reach the next question.
func TestSidecarNames(t *testing.T) {
	tool(t, "dig", "bind9-dnsutils")
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := &mdns.Server{PacketConn: c, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		r := new(mdns.Msg).SetReply(q)
		r.Answer = append(r.Answer, &mdns.TXT{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET, Ttl: 9}, Txt: []string{"told"}})
		_ = w.WriteMsg(r)
	})}
	go func() { _ = up.ActivateAndServe() }()
	t.Cleanup(func() { _ = up.Shutdown() })
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		p.dnsPolicy("allow if {\n\tinput.question.type == \"TXT\"\n\tinput.sandbox.labels.team == \"web\"\n}\n")
		var without string
		s.rewrite(t, func(text string) string {
			without = text
			return strings.NewReplacer("network:\n", fmt.Sprintf("network:\n  resolvers: [%q]\n", "udp://"+c.LocalAddr().String()),
				"policies:\n", "policies:\n  - {name: names, dir: names}\n", "default_policy: [strict]", "default_policy: [names]").Replace(text)
		})
		dig := `ask() { echo "$1 $(dig +time=5 +tries=1 -t TXT a.example.com | sed -n 's/.*status: \([A-Z]*\).*/\1/p; s/.*ANSWER: \([0-9]\).*/\1/p' | tr '\n' ' ')"; }; until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }; `
		if out := s.enrolled([]string{"--name", "other"}, dig+"ask other"); !strings.Contains(out.stdout, "other NOERROR 0") {
			t.Errorf("%+v", out)
		}
		b := p.spawn(t, binary, "run", "--sidecar", s.control, "--name", "web", "--label", "team=web", "--", "/bin/sh", "-c", dig+"ask granted; until_file p1; ask paused; until_file p2; ask resumed; until_file p3; ask taken")
		command := func(args ...string) {
			t.Helper()
			if out := p.exec(append(append([]string{"sandbox"}, args...), "--control", s.control)...); out.code != 0 {
				t.Fatalf("%+v", out)
			}
		}
		b.until("granted NOERROR 1")
		command("pause", "web")
		b.tell("p1")
		b.until("paused REFUSED 0")
		command("resume", "web")
		b.tell("p2")
		b.until("resumed NOERROR 1")
		s.rewrite(t, func(string) string { return without })
		b.tell("p3")
		b.until("taken NOERROR 0")
		_ = b.cmd.Wait()
		s.stop()
		for effect, n := range map[string]int{"allow": 2, "deny": 2} {
			if got := len(p.find(map[string]string{"event.name": "egress.dns.decision", "policy.decision": effect})); got != n {
				t.Errorf("%d decisions are %s", got, effect)
			}
		}
	})
}
