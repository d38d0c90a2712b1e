package proxy_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/sandbox"
)

const records = `package egress.dns

allow if input.question.type in {"TXT", "PTR"}

deny contains "not_this" if input.question.name == "denied.example.com"
`

func name(t *testing.T, s string) dest.Host {
	t.Helper()
	h, err := dest.ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// hostile 95, 313, 314: what name servers are asked is decided, and durable before
// it is asked; what means something here only is not asked, whatever policy says.
func TestQuestionsAreDecided(t *testing.T) {
	r := newRig(t, rigging{policy: records})
	bound := sandbox.Binding{Host: name(t, "orders.example.com"), Port: 80, Target: dest.NewAddr(name(t, "127.0.0.1"), 80), TargetScheme: "http"}
	for what, c := range map[string]struct {
		name, kind, about string
		change            func(*sandbox.Sandbox)
		code              string // "" when it may be asked
	}{
		"granted":                {"a.example.com", "TXT", "", nil, ""},
		"PTR":                    {"8.8.8.8.in-addr.arpa", "PTR", "8.8.8.8", nil, ""},
		"another type":           {"a.example.com", "MX", "", nil, "default_deny"},
		"denied":                 {"denied.example.com", "TXT", "", nil, "not_this"},
		"of a private network":   {"1.0.0.10.in-addr.arpa", "PTR", "10.0.0.1", nil, "name_not_asked"},
		"of a metadata service":  {"254.169.254.169.in-addr.arpa", "PTR", "169.254.169.254", nil, "name_not_asked"},
		"a metadata service":     {"metadata.google.internal", "TXT", "", nil, "name_not_asked"},
		"a name that is bound":   {"orders.example.com", "TXT", "", func(s *sandbox.Sandbox) { s.Bindings = []sandbox.Binding{bound} }, "name_not_asked"},
		"where all is bound":     {"a.example.com", "TXT", "", func(s *sandbox.Sandbox) { s.Mode = sandbox.Sealed }, "sealed"},
		"where nothing is known": {"a.example.com", "MX", "", func(s *sandbox.Sandbox) { s.Mode = sandbox.Observe }, "default_deny"},
		"paused":                 {"a.example.com", "TXT", "", func(s *sandbox.Sandbox) { s.Paused = true }, "paused"},
	} {
		sb := &sandbox.Sandbox{ID: sandbox.NewID(), Name: what, Mode: sandbox.Enforce, Policy: []string{"test"}}
		if c.change != nil {
			c.change(sb)
		}
		g := r.srv.Open(sb, r.decider, nil)
		var about netip.Addr
		if c.about != "" {
			about = netip.MustParseAddr(c.about)
		}
		done, ref := g.MayAsk(t.Context(), name(t, c.name), c.kind, about)
		got := ""
		if ref != nil {
			got = ref.Code
		}
		if got != c.code {
			t.Errorf("%s: %q", what, got)
		}
		if c.code == "" { // it stands there before anything is asked
			raw, err := os.ReadDir(r.log)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := os.ReadFile(filepath.Join(r.log, raw[len(raw)-1].Name()))
			if !slices.ContainsFunc(strings.Split(string(b), "\n"), func(line string) bool {
				return strings.Contains(line, `"event.name":"egress.dns.decision"`) && strings.Contains(line, `"sandbox.name":"`+what+`"`)
			}) {
				t.Errorf("%s: it is not recorded", what)
			}
		}
		done(audit.DNS{Question: c.name + ".", Type: c.kind, Rcode: "NOERROR", Transport: "udp"}, nil)
		event, effect := "egress.dns.decision", "deny"
		if c.code == "" {
			effect = "allow"
			if got := r.found(map[string]string{"event.name": "egress.dns.query", "sandbox.name": what, "dns.response_code": "NOERROR"}); len(got) != 1 || got[0].Str("event.of") == "" {
				t.Errorf("%s: the answer is recorded as %v", what, got)
			}
		}
		if got := r.found(map[string]string{"event.name": event, "sandbox.name": what, "policy.decision": effect, "policy.code": c.code, "policy.phase": "dns", "dns.question.name": c.name + ".", "dns.question.type": c.kind}); len(got) != 1 {
			t.Errorf("%s: %d decisions", what, len(got))
		}
		g.Close()
	}
	// Without rules nobody decides, and nothing is granted.
	g := r.srv.Open(&sandbox.Sandbox{ID: sandbox.NewID(), Name: "none", Mode: sandbox.Observe}, load(t, everything), nil)
	if _, ref := g.MayAsk(t.Context(), name(t, "a.example.com"), "TXT", netip.Addr{}); ref == nil || ref.Code != "default_deny" {
		t.Errorf("without rules: %v", ref)
	}
	g.Close()
}

// Without a record nothing is asked.
func TestQuestionsNeedARecord(t *testing.T) {
	r := newRig(t, rigging{policy: records})
	_ = r.audit.Close()
	if _, ref := r.gate.MayAsk(t.Context(), name(t, "a.example.com"), "TXT", netip.Addr{}); ref == nil || ref.Code != "audit_unavailable" {
		t.Errorf("%v", ref)
	}
}

// hostile 95: what a grant lets through in questions is little: so many of one domain,
// however its names differ, and so many of all.
func TestQuestionsAreFew(t *testing.T) {
	r := newRig(t, rigging{policy: records})
	asked := func(form string, n int) (granted int) {
		for i := range n {
			_, ref := r.gate.MayAsk(context.Background(), name(t, fmt.Sprintf(form, i)), "TXT", netip.Addr{})
			switch {
			case ref == nil:
				granted++
			case ref.Code != "too_many_questions" || ref.Status != 429:
				t.Fatal(ref)
			}
		}
		return granted
	}
	begun := time.Now()
	one := asked("x%d.tunnel.example.com", 100)
	if most := 30 + int(time.Since(begun).Seconds()) + 1; one < 30 || one > most {
		t.Errorf("%d of one domain, want 30 to %d", one, most)
	}
	if other := asked("x%d.other.example.org", 1); other != 1 {
		t.Error("one domain takes what is another's")
	}
	all := asked("a.of%d.example", 400)
	if most := 200 + 20*(int(time.Since(begun).Seconds())+1); one+1+all < 200 || one+1+all > most {
		t.Errorf("%d of all, want 200 to %d", one+1+all, most)
	}
}
