package rego

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
	"sallyport/proxy/canon"
)

// guarded are the guard rails that ship, as a layer over a policy that allows all.
func guarded(t *testing.T) *policy.Layers {
	t.Helper()
	rails, err := Load(t.Context(), Options{Name: "guardrails", Dir: "../../policies/examples/guardrails"})
	if err != nil {
		t.Fatal(err)
	}
	return policy.NewLayers(rails, load(t, "package egress\n\nallow := true\n"))
}

func asking(t *testing.T, method, host, raw string) *policy.Question {
	t.Helper()
	q := to(t, host)
	path, segments, err := canon.Path(raw)
	if err != nil {
		t.Fatal(err)
	}
	q.Request = &policy.RequestFacts{Method: method, Path: path, PathRaw: raw, Segments: segments, Header: http.Header{}, BodyState: policy.BodyNone}
	return q
}

// hostile 98, 434: whatever the policy below allows, nothing goes to who passes it on, and
// nobody makes credentials, however the path is spelt.
func TestGuardRails(t *testing.T) {
	r, err := RunTests(t.Context(), "../../policies/examples/guardrails", TestOptions{Coverage: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.WriteFailures(os.Stderr); r.Failed > 0 || r.Passed < 7 || r.Coverage.Percent < 100 {
		t.Errorf("%d passed, %d failed, %v %% covered", r.Passed, r.Failed, r.Coverage.Percent)
	}
	l := guarded(t)
	for request, code := range map[[3]string]string{
		{"POST", "api.github.com", "/repos/a/b/keys"}:             "credential_minting",
		{"POST", "api.github.com", "/%72epos/a/b/%6Beys"}:         "credential_minting",
		{"POST", "api.github.com", "/repos/a%2Fb/keys"}:           "credential_minting",
		{"POST", "api.github.com", "//repos//a/b/keys//"}:         "credential_minting",
		{"POST", "api.github.com", "/repos;x=1/a/b/KEYS;y"}:       "credential_minting",
		{"PUT", "gitlab.com", "/api/v4/projects/g%2Fp/members/1"}: "credential_minting",
		{"GET", "sts.ap-southeast-2.amazonaws.com", "/"}:          "credential_minting",
		{"GET", "webhook.site", "/"}:                              "open_relay",
		{"GET", "a.b.translate.goog", "/"}:                        "open_relay",
		{"GET", "metadata.goog", "/"}:                             "cloud_metadata",
		{"GET", "api.github.com", "/repos/a/b/keys"}:              "",
		{"POST", "api.github.com", "/repos/a/b/issues"}:           "",
		{"GET", "api.example.com", "/"}:                           "",
	} {
		d := l.Decide(t.Context(), asking(t, request[0], request[1], request[2]))
		got := ""
		if ref, refused := d.Refusal(); refused {
			got = ref.Code
		}
		if got != code {
			t.Errorf("%v: %q, not %q: %v", request, got, code, d.Err)
		}
	}
	q := asking(t, "GET", "images.example.com", "/resize")
	q.Request.Query = map[string][]string{"src": {"https://evil.example/"}}
	if ref, _ := l.Decide(t.Context(), q).Refusal(); ref.Code != "url_in_query" {
		t.Errorf("%+v", ref)
	}
}

// Every pattern of the packs can match, and stands for a host as it is called.
func TestPacksCanMatch(t *testing.T) {
	p := load(t, "package egress\n\nimport data.sallyport.lib\nimport data.sallyport.packs.minting\nimport data.sallyport.packs.relays\nimport data.sallyport.packs.metadata\n\nallow if lib.host_in(relays.hosts)\n\nallow if lib.host_in(metadata.hosts)\n\nallow if minting.writes[input.destination.host]\n\nallow if minting.closed[input.destination.host]\n\nallow if relays.writes[input.destination.host]\n")
	l := newLint(p, &source{data: map[string]any{}})
	n := 0
	for _, rules := range []string{"relays.hosts", "metadata.hosts", "minting.writes", "minting.closed", "relays.writes"} {
		for _, s := range l.entries(p.phases[policy.Request].author[0], ast.MustParseTerm("data.sallyport.packs."+rules)) {
			if n++; rules == "metadata.hosts" {
				continue // names without dots are among them
			}
			if code, wrong, _ := entry("host_in", s); code == "never_holds" {
				t.Errorf("%s: %s", rules, wrong)
			}
		}
	}
	for _, r := range p.compiler.Modules {
		ast.WalkTerms(r, func(x *ast.Term) bool {
			if s, ok := x.Value.(ast.String); ok && strings.HasPrefix(string(s), "/") && strings.HasPrefix(r.Package.Path.String(), "data.sallyport.packs") {
				if n++; strings.ToLower(string(s)) != string(s) || !strings.HasSuffix(string(s), "/") && !strings.HasSuffix(string(s), "/**") {
					t.Errorf("no bare path is like %s", s)
				}
			}
			return false
		})
	}
	if n < 200 {
		t.Errorf("only %d entries were read", n)
	}
}
