package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// A candidate beside the policy in force: what it says otherwise is recorded, counted
// and summed up, and has no effect, nor has one that never decides (hostile 424).
func TestShadow(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "")
	s.stop()
	base := filepath.Dir(s.config)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	for name, rules := range map[string]string{
		"next": "allow if input.request.method == \"POST\"\n\nallow if input.request.path == \"/same\"\n\ndeny contains \"secretive\" if input.request.headers[\"x-secret\"]\n\nset_headers contains {\"name\": \"X-Next\", \"value\": \"1\"} if input.request.path != \"/same\"\n",
		"slow": "allow if count([1 | some i in numbers.range(1, 9000); some j in numbers.range(1, 9000); i + j == 0]) > 0\n",
	} {
		if err := os.MkdirAll(filepath.Join(base, "policies", name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(base, "policies", name, "p.rego"), []byte("package egress\n\n"+rules), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	changed := strings.Replace(string(text), "{name: strict, dir: policies/strict}", "{name: strict, dir: policies/strict, shadow: next}\n  - {name: next, dir: policies/next}\n  - {name: slow, dir: policies/slow}\n  - {name: strict2, dir: policies/strict, shadow: slow}", 1)
	if err := os.WriteFile(s.config, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	s.begin()
	ask := "ask() { curl -sS -o /dev/null -w '%{http_code}\\n' \"$@\"; }\n"
	u := p.https("api.example.com", "")
	if out := s.enrolled([]string{"--name", "a"}, ask+"ask "+u+"/same; ask -H 'X-Secret: 1' "+u+"/x; ask "+u+"/x; ask -X POST "+u+"/y"); out.stdout != "200\n200\n200\n403\n" {
		t.Fatalf("%+v", out)
	}
	if out := s.enrolled([]string{"--name", "b", "--policy", "strict2"}, ask+"ask "+u+"/same; ask -X POST "+u+"/y"); out.stdout != "200\n403\n" {
		t.Fatalf("%+v", out)
	}
	for _, r := range p.origin.Seen() {
		if r.Header.Get("X-Next") != "" {
			t.Error("a candidate had an effect")
		}
	}
	want := []string{`candidate="next",outcome="same",policy="strict"} 1`, `candidate="next",outcome="denied",policy="strict"} 2`, `candidate="next",outcome="allowed",policy="strict"} 1`, `candidate="slow",outcome="denied",policy="strict2"} 1`}
	until(t, "candidates have answered", func() bool {
		now := s.scraped()
		for _, w := range want {
			if !strings.Contains(now, "sallyport_policy_shadow_decisions_total{"+w) {
				return false
			}
		}
		return true
	})
	s.stop()
	out := p.exec("policy", "shadow", p.log)
	for _, want := range []string{"1 strict → next: egress GET api.example.com: was allow, would be deny secretive", "1 strict → next: egress GET api.example.com: was allow, would be deny default_deny",
		"1 strict → next: egress POST api.example.com: was deny default_deny, would be allow", "1 strict2 → slow: egress GET api.example.com: was allow, would be error policy_error"} {
		if out.code != 1 || !strings.Contains(out.stdout, want) {
			t.Errorf("nothing says %q: %+v", want, out)
		}
	}
	p.verified()
	for from, to := range map[string]string{"shadow: next": "shadow: strict", "shadow: slow": "shadow: nobody"} {
		if err := os.WriteFile(s.config, []byte(strings.Replace(changed, from, to, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := p.exec("config", "check", s.config); out.code == 0 || !strings.Contains(out.stdout+out.stderr, ".shadow") {
			t.Errorf("%s: %+v", to, out)
		}
	}
}
