package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

const explainedPolicy = `package egress

allow if {
	input.destination.host == "api.example.com"
	input.request.method == "GET"
}

allow if {
	input.destination.host == "api.example.com"
	input.request.headers["x-api-key"][0] == "k"
}
`

// Why something was refused: which rules held, at which condition the others ended,
// and what that saw; of the policy that decided, or said plainly of another, from a log
// and from a sidecar.
func TestExplain(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		pol := filepath.Join(p.dir, "policy")
		if err := os.Mkdir(pol, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(pol, "p.rego"), []byte(explainedPolicy), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := p.sh([]string{"--policy", pol}, "curl -sS -X POST "+p.https("api.example.com", "/")+"; curl -sS -X POST -H 'X-Api-Key: secret' "+p.https("api.example.com", "/")); !strings.Contains(out.stdout, "default_deny") {
			t.Fatalf("%+v", out)
		}
		var ids []string
		for _, e := range p.find(map[string]string{"policy.decision": "deny"}) {
			ids = append(ids, e.Str("event.id"))
		}
		if len(ids) != 2 {
			t.Fatal(ids)
		}
		explain := func(id string, args ...string) string {
			out := p.exec(append([]string{"policy", "explain", id, "--audit", p.log}, args...)...)
			if out.code != 0 {
				t.Errorf("%+v", out)
			}
			return out.stdout
		}
		file := filepath.Join(pol, "p.rego")
		plain := explain(ids[0], "--policy", pol)
		for _, want := range []string{"deny default_deny", "which decided", "failed  egress.allow at " + file + ":3, in line 5: input.request.method == \"GET\"", `input.request.method is "POST"`,
			"failed  egress.allow at " + file + ":8, in line 10", `input.request.headers["x-api-key"][0] is undefined`} {
			if !strings.Contains(plain, want) {
				t.Errorf("nothing says %q:\n%s", want, plain)
			}
		}
		if keyed := explain(ids[1], "--policy", pol); !strings.Contains(keyed, "cannot be decided again: request.headers.x-api-key is redacted") || !strings.Contains(keyed, "is redacted\n") {
			t.Error(keyed)
		}
		other := visible(t, map[string]string{"p.rego": "package egress\n\nallow if {\n\tinput.request.method == \"POST\"\n\tinput.request.headers[\"x-other\"]\n}\n"})
		if said := explain(ids[0], "--policy", other); !strings.Contains(said, "which is not what decided then") || !strings.Contains(said, "request.headers.x-other is not recorded") {
			t.Error(said)
		}
		if said := explain(ids[0]); !strings.Contains(said, "name it with --policy") {
			t.Error(said)
		}
		var e explanation
		if err := json.Unmarshal([]byte(explain(ids[0], "--policy", pol, "--json")), &e); err != nil || len(e.Layers) != 1 || !e.Layers[0].Decided || len(e.Layers[0].Trace.Failed) != 2 || e.Layers[0].Answer.Allow {
			t.Errorf("%v %+v", err, e)
		}
		for id, want := range map[string]string{"x": "is not the id of a record", "01981f0a-6d6b-7a55-b3c1-9a3c9a7f0e11": "there is no record", p.find(map[string]string{"event.name": "egress.lifecycle.start"})[0].Str("event.id"): "decides nothing"} {
			if out := p.exec("policy", "explain", id, "--audit", p.log, "--policy", pol); out.code != 2 || !strings.Contains(out.stderr, want) {
				t.Errorf("%s: %+v", id, out)
			}
		}
		s := p.sidecar(t, "")
		if out := s.enrolled(nil, "curl -sS -X POST "+p.https("api.example.com", "/")); !strings.Contains(out.stdout, "(") {
			t.Fatalf("%+v", out)
		} else {
			_, rest, _ := strings.Cut(out.stdout, "(decision ")
			id, _, _ := strings.Cut(rest, ")")
			got := p.exec("policy", "explain", id, "--control", s.control, "--policy", filepath.Join(filepath.Dir(s.config), "policies", "strict"))
			if got.code != 0 || !strings.Contains(got.stdout, "which decided") {
				t.Errorf("%q: %+v", id, got)
			}
		}
	})
}

// visible is a policy that any user can read.
func visible(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := policyDir(t, files)
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
