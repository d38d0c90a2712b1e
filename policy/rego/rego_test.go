package rego

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/dest"
	"sallyport/policies"
	"sallyport/policy"
	"sallyport/sandbox"
)

var shipped = []string{"../../policies/default", "../../policies/examples/github", "../../policies/examples/packages", "../../policies/examples/llm", "../../policies/examples/grpc", "../../policies/examples/browser", "../../policies/examples/names"}

func TestShipped(t *testing.T) {
	for _, dir := range shipped {
		if ps := Check(dir); len(ps) > 0 {
			t.Errorf("%s: %v", dir, ps)
		}
		if fs, err := Format(dir, false); err != nil || len(fs) > 0 {
			t.Errorf("not formatted: %v %v", fs, err)
		}
		var out bytes.Buffer
		passed, failed, err := Test(t.Context(), dir, &out)
		if err != nil || passed == 0 || failed > 0 {
			t.Errorf("%s: %d passed, %d failed, %v\n%s", dir, passed, failed, err, out.String())
		}
	}
	if fs, err := Format("../../policies/sallyport", false); err != nil || len(fs) > 0 {
		t.Errorf("not formatted: %v %v", fs, err)
	}
}

// write makes a directory of files.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := Load(t.Context(), Options{Name: "test", Dir: write(t, map[string]string{"p.rego": text})})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func question(t testing.TB) *policy.Question {
	t.Helper()
	a, err := dest.ParseAddr("api.github.com:443")
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Question{Phase: policy.Request,
		Sandbox:     &sandbox.Sandbox{ID: "s1", Name: "web", Labels: map[string]string{"team": "web"}, Props: map[string]any{"tenant_id": "t1"}},
		Destination: policy.Destination{Addr: a, Scheme: "https", Protocol: "h2", SNI: "api.github.com"},
		Request: &policy.RequestFacts{Method: "GET", Path: "/repos/a", PathRaw: "/repos/a", Segments: []string{"repos", "a"}, Query: map[string][]string{"q": {"1"}},
			Header: http.Header{"Accept": {"a"}, "Authorization": {"Bearer mine"}}, BodyState: policy.BodyNone}}
}

// What is refused when a policy is loaded, with its place and what was expected.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want, remark string }{
		{"package egress\n\nallow if input.requst.method == \"GET\"\n", "p.rego:3", "a field that does not exist"},
		{"package egress.connect\n\nallow if input.request.method == \"GET\"\n", "p.rego:3", "a field of another phase"},
		{"package egress\n\nallow if {\n", "p.rego:4", "syntax"},
		{"package egress\n\nallow := \"yes\"\n", "allow must be true or undefined", "a grant that is a text"},
		{"package egress\n\nallow if true\n\ndney contains \"x\" if input.destination.port == 22\n", "p.rego:5:1: rule dney is no verb", "a misspelt deny must not fail open"},
		{"package egress\n\ndeny := \"x\" if input.destination.port == 22\n", "write `deny contains", "a verb that is no set"},
		{"package egress\n\ndefault allow := true\n", "no default but false", "a grant by default"},
		{"package egress\n\nallow if true\n\ndeny contains {\"kode\": \"x\"} if input.destination.port == 22\n", `the key "kode" is not known`, "a key"},
		{"package egress\n\nallow if http.send({\"method\": \"get\", \"url\": \"http://x\"}).status_code == 200\n", "undefined function http.send", "hostile 86: the network"},
		{"package egress\n\nallow if opa.runtime().env.HOME\n", "undefined function opa.runtime", "hostile 86: the host"},
		{"package egress\n\nallow if rand.intn(\"x\", 2) == 1\n", "undefined function rand.intn", "randomness"},
		{"package sallyport.egress\n\nallow if true\n", "is reserved", "the composing package"},
		{"package egress.conect\n\nallow if true\n", "is not a phase", "a misspelt phase"},
		{"package lib\n\nx := 1\n", "an empty policy is refused", "hostile 84: no rule in any phase"},
		{"package egress\n", "an empty policy is refused", "hostile 84"},
		{"# METADATA\n# schemas:\n#   - input: schema.egress\npackage egress\n\nallow if true\n", "schemas are given", "an author's schema"},
		{"package egress\n\nallow if {\n\tx := 1\n\ttrue\n}\n", "p.rego:4", "strict: unused"},
		{"package egress\n\nrequires_props contains input.sandbox.name\n", "must not read the input", "props are asked for before there is input"},
		{"package egress\n\nallow if f(input)\n\nf(x) if x.destination.port == 1\n\nset_headers contains \"x\" if input.destination.port == 1\n", "must be an object", "a header that is a text"},
	} {
		_, err := Load(t.Context(), Options{Name: "test", Dir: write(t, map[string]string{"p.rego": c.text})})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n%v\nwant %q", c.remark, err, c.want)
		}
	}
	if _, err := Load(t.Context(), Options{Name: "test", Dir: "/nonexistent"}); err == nil {
		t.Error("hostile 85: a missing policy was loaded")
	}
	if _, err := Load(t.Context(), Options{Name: "test", Dir: t.TempDir()}); err == nil {
		t.Error("hostile 84: an empty directory was loaded")
	}
	if _, err := Load(t.Context(), Options{Name: "test", Dir: write(t, map[string]string{"p.rego": "package egress\n\nallow if true\n", "data.json": `{"egress": {"allow": true}}`})}); err == nil {
		t.Error("data took the place of a rule")
	}
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		text   string
		change func(*policy.Question)
		want   string // allow, or the code of the refusal
		remark string
	}{
		{"allow if input.destination.host == \"api.github.com\"", nil, "allow", ""},
		{"allow if input.destination.host == \"other\"", nil, "default_deny", "hostile 86: undefined"},
		{"allow if true\n\ndeny contains \"no_get\" if input.request.method == \"GET\"", nil, "no_get", "deny wins"},
		{"allow if true\n\ndeny contains {\"code\": \"BAD CODE\\n\"} if true", nil, "denied", "a code that cannot be one"},
		{"allow if true\n\ndeny contains x if {\n\tsome x in input.sandbox.props.list\n}", func(q *policy.Question) { q.Sandbox.Props["list"] = []any{7} }, "policy_error", "a denial of the wrong shape denies"},
		{"allow if true\n\nset_headers contains {\"name\": \"X-A\", \"value\": v} if {\n\tsome v in [\"1\", \"2\"]\n}", nil, "header_conflict", "two values"},
		{"allow if true\n\nset_headers contains {\"name\": \"X-A\", \"value\": \"1\"} if true\n\nremove_headers contains \"x-a\" if true", nil, "header_conflict", "set and removed"},
		{"allow if true\n\nset_headers contains {\"name\": \"Host\", \"value\": \"evil\"} if true", nil, "policy_error", "wall rule 12"},
		{"allow if true\n\nset_headers contains {\"name\": \"Transfer-Encoding\", \"value\": \"x\"} if true", nil, "policy_error", "wall rule 12"},
		{"allow if true\n\nset_headers contains {\"name\": \"X-A\", \"value\": \"a\\r\\nB: c\"} if true", nil, "policy_error", "hostile 116"},
		{"allow if true\n\nset_headers contains {\"name\": \"X-A\", \"value\": input.sandbox.props.n} if true", func(q *policy.Question) { q.Sandbox.Props["n"] = 5 }, "policy_error", "a value that is no text"},
		{"allow if true\n\nrewrite := {\"host\": h} if {\n\th := [\"a\", \"b\"][_]\n}", nil, "policy_error", "hostile 86: a conflict"},
		{"allow if {\n\tsome i in numbers.range(1, 100000)\n\ti == -1\n}", nil, "policy_error", "hostile 86: too many steps"},
		{"allow if {\n\tinput.request.body.query == \"x\"\n}", func(q *policy.Question) {
			q.Request.BodyState, q.Request.Body = policy.BodyParsed, map[string]any{"query": "x"}
		}, "allow", ""},
		{"allow if {\n\tinput.request.body.query == \"x\"\n}", func(q *policy.Question) { q.Request.BodyState = policy.BodyTruncated }, "uncertain", "hostile 81"},
		{"allow if {\n\tnot input.request.body.query\n}", func(q *policy.Question) { q.Request.BodyState = policy.BodyUnparsed }, "uncertain", "hostile 82: a negation"},
		{"allow if input.request.method == \"GET\"\n\ndeny contains \"m\" if {\n\tinput.request.method == \"POST\"\n\tinput.request.body.m\n}", func(q *policy.Question) { q.Request.BodyState = policy.BodyTruncated }, "allow", "known facts first"},
		{"allow if {\n\tinput.request.size < 10\n}", func(q *policy.Question) { q.Request.Size = -1 }, "uncertain", "an unknown size"},
		{"allow if {\n\tinput.request.body_state == \"truncated\"\n}", func(q *policy.Question) { q.Request.BodyState = policy.BodyTruncated }, "allow", "the uncertainty is accepted"},
		{"allow if {\n\tr := input.request\n\tr.body.x == 1\n}", func(q *policy.Question) { q.Request.BodyState = policy.BodyTruncated }, "uncertain", "through a name"},
		{"allow if {\n\tsome k, _ in input.request\n\tk == \"method\"\n}", func(q *policy.Question) { q.Request.BodyState = policy.BodyTruncated }, "uncertain", "all of it"},
		{"allow if {\n\tc := [x | x := input.request.body.x]\n\tcount(c) == 0\n}", func(q *policy.Question) { q.Request.BodyState = policy.BodyTruncated }, "uncertain", "in a comprehension"},
		{"allow if {\n\tf(input)\n}\n\nf(x) if not x.request.body.bad", func(q *policy.Question) { q.Request.BodyState = policy.BodyTruncated }, "uncertain", "in a function"},
		{"allow if {\n\tinput.request.headers.accept[0] == \"a\"\n\tinput.request.query.q[0] == \"1\"\n\tinput.destination.registered_domain == \"github.com\"\n\t\"github.com\" in input.destination.host_suffixes\n\tinput.sandbox.labels.team == \"web\"\n\tinput.destination.authority.sni == \"api.github.com\"\n}", nil, "allow", "all kinds of facts"},
		{"allow if {\n\tinput.request.grpc.service == \"a.B\"\n}", func(q *policy.Question) {
			q.Request.GRPC = &policy.GRPC{Service: "a.B", Method: "C"}
		}, "allow", ""},
	} {
		p := load(t, "package egress\n\n"+c.text+"\n")
		q := question(t)
		if c.change != nil {
			c.change(q)
		}
		d := p.Decide(t.Context(), q)
		got := "allow"
		if den, no := d.Refusal(); no {
			got = den.Code
		}
		if got != c.want || d.Granted() != (c.want == "allow") {
			t.Errorf("%s\n%s\ngot %s (%v %v), want %s", c.remark, c.text, got, d.Err, d.Deny, c.want)
		}
	}
}

func TestConflictSaysWhere(t *testing.T) {
	p := load(t, "package egress\n\nallow if true\n\nset_headers contains {\"name\": \"X-A\", \"value\": \"1\"} if true\n\nset_headers contains {\"name\": \"x-a\", \"value\": \"2\"} if true\n")
	d := p.Decide(t.Context(), question(t))
	if d.Granted() || !strings.Contains(d.Deny[0].Operator, "p.rego:5 and ") || !strings.Contains(d.Deny[0].Operator, "p.rego:7") {
		t.Errorf("%+v", d.Deny)
	}
}

func TestEdits(t *testing.T) {
	p := load(t, `package egress

allow if true

set_headers contains {"name": "x-tenant-id", "value": input.sandbox.props.tenant_id} if true

set_headers contains {"name": "X-Tenant-Id", "value": "t1"} if true

set_headers contains {"name": "X-Never", "value": "x"} if input.destination.port == 1

remove_headers contains "cookie" if true

credentials contains {"name": "github", "params": {"repo": "a"}} if true

limits contains {"request_bytes": 100, "seconds": 5} if true

limits contains {"request_bytes": 50} if true

audit contains {"level": "request", "tags": ["a"]} if true

reasons contains "because" if true

requires_props contains "tenant_id"
`)
	d := p.Decide(t.Context(), question(t))
	if !d.Granted() || fmt.Sprint(d.Set) != "[{X-Tenant-Id t1}]" || fmt.Sprint(d.Remove) != "[Cookie]" || fmt.Sprint(d.Owned) != "[X-Never X-Tenant-Id]" ||
		d.Credentials[0].Name != "github" || d.Credentials[0].Params["repo"] != "a" || d.Limits.RequestBytes != 50 || d.Limits.Duration != 5*time.Second ||
		d.Audit.Level != "request" || d.Reasons[0] != "because" || fmt.Sprint(p.RequiresProps()) != "[tenant_id]" {
		t.Errorf("%+v %v", d, p.RequiresProps())
	}
	if s := string(d.Input); s != `{"destination":{"port":443},"sandbox":{"props":{"tenant_id":"t1"}}}` {
		t.Error(s)
	}
}

func TestRespond(t *testing.T) {
	d := load(t, "package egress\n\nrespond := {\"status\": 418, \"headers\": {\"x-a\": \"b\"}, \"body\": \"tea\"} if true\n").Decide(t.Context(), question(t))
	if d.Err != nil || d.Respond == nil || d.Respond.Status != 418 || d.Respond.Body != "tea" || d.Respond.Header[0].Name != "X-A" {
		t.Errorf("%+v", d)
	}
}

func TestPhases(t *testing.T) {
	p, err := Load(t.Context(), Options{Name: "test", Dir: write(t, map[string]string{
		"connect.rego":  "package egress.connect\n\nallow if input.destination.port == 22\n\nopaque if allow\n",
		"dial.rego":     "package egress.dial\n\ndeny contains \"ours\" if net.cidr_contains(\"203.0.113.0/24\", input.addresses[_])\n",
		"dns.rego":      "package egress.dns\n\nallow if {\n\tinput.question.type == \"TXT\"\n\t\"example.com\" in input.question.name_suffixes\n\tinput.question.registered_domain == \"example.com\"\n}\n",
		"response.rego": "package egress.response\n\ndeny contains \"too_big\" if input.response.size > 10\n",
	})})
	if err != nil {
		t.Fatal(err)
	}
	if p.Has(policy.Request) || !p.Has(policy.Connect) || !p.Has(policy.Dial) || !p.Has(policy.Response) || !p.Has(policy.DNS) || p.Has(policy.Message) {
		t.Error("Has")
	}
	q := question(t)
	q.Phase = policy.Connect
	if d := p.Decide(t.Context(), q); d.Granted() {
		t.Error("443 is granted")
	}
	q.Destination.Addr = dest.NewAddr(q.Destination.Addr.Host(), 22)
	if d := p.Decide(t.Context(), q); !d.Granted() || !d.Opaque {
		t.Errorf("%+v", d)
	}
	q.Phase, q.Addresses = policy.Dial, []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.5")}
	if d := p.Decide(t.Context(), q); len(d.Deny) != 1 || d.Deny[0].Code != "ours" {
		t.Errorf("%+v", d)
	}
	q.Phase, q.Response = policy.Response, &policy.ResponseFacts{Status: 200, Size: 11}
	if d := p.Decide(t.Context(), q); len(d.Deny) != 1 || d.Deny[0].Code != "too_big" {
		t.Errorf("%+v", d)
	}
	q.Response.Size = -1
	if d := p.Decide(t.Context(), q); len(d.Deny) != 1 || d.Deny[0].Code != policy.CodeUncertain {
		t.Errorf("%+v", d)
	}
}

// What a name server may be asked is decided by name and type, and by nothing that
// a destination has.
func TestQuestions(t *testing.T) {
	p, err := Load(t.Context(), Options{Name: "test", Dir: write(t, map[string]string{"dns.rego": "package egress.dns\n\nallow if {\n\tinput.question.type in {\"TXT\", \"TYPE65280\"}\n\t\"example.com\" in input.question.name_suffixes\n\tinput.question.registered_domain == \"example.com\"\n\tinput.sandbox.labels.team == \"web\"\n}\n\ndeny contains \"long\" if count(input.question.name) > 60\n"})})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, kind, want string
	}{
		{"example.com", "TXT", ""}, {"_dmarc.example.com", "TXT", ""}, {"a.example.com", "TYPE65280", ""},
		{"a.example.com", "MX", "default_deny"}, {"evilexample.com", "TXT", "default_deny"}, {"example.com.evil.example", "TXT", "default_deny"},
		{strings.Repeat("a", 61) + ".example.com", "TXT", "long"},
	} {
		h, err := dest.ParseHost(c.name)
		if err != nil {
			t.Fatal(err)
		}
		q := question(t)
		q.Phase, q.Destination, q.Request, q.DNS = policy.DNS, policy.Destination{}, nil, &policy.DNSFacts{Name: h, Type: c.kind}
		d := p.Decide(t.Context(), q)
		if got, _ := d.Refusal(); got.Code != c.want || !strings.Contains(string(d.Input), c.kind) || len(d.Owned) > 0 {
			t.Errorf("%s %s: %q, %s", c.kind, c.name, got.Code, d.Input)
		}
	}
	if _, err := Load(t.Context(), Options{Name: "test", Dir: write(t, map[string]string{"dns.rego": "package egress.dns\n\nallow if input.destination.host == \"a\"\n"})}); err == nil || !strings.Contains(err.Error(), "destination") {
		t.Errorf("a destination: %v", err)
	}
}

// hostile 86: an evaluation ends at its deadline and when nobody waits for it.
func TestTimeout(t *testing.T) {
	dir := write(t, map[string]string{"p.rego": "package egress\n\nallow if {\n\tsome a in numbers.range(1, 10000)\n\tsome b in numbers.range(1, 10000)\n\ta * b == -1\n}\n"})
	p, err := Load(t.Context(), Options{Name: "test", Dir: dir, Steps: 1 << 40, Deadline: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Decide(t.Context(), question(t)); !errors.Is(d.Err, errBudget) || d.Granted() {
		t.Errorf("%+v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d := p.Decide(ctx, question(t)); d.Err == nil {
		t.Error("a cancelled question was answered")
	}
}

// hostile 160: what a record keeps of the input has no secret in it.
func TestProjectionMasks(t *testing.T) {
	p := load(t, "package egress\n\nallow if count(input.request.headers) > 0\n")
	q := question(t)
	q.Request.Header.Set("X-Api-Key", "canary-1")
	q.Request.Header.Set("Cookie", "canary-2")
	q.Request.Header.Set("Authorization", "canary-3")
	d := p.Decide(t.Context(), q)
	if s := string(d.Input); strings.Contains(s, "canary") || !strings.Contains(s, `"accept":["a"]`) {
		t.Error(s)
	}
	p = load(t, "package egress.message\n\ndeny contains \"no\" if input.message.body.say == \"x\"\n")
	q.Phase, q.Message = policy.Message, &policy.MessageFacts{Direction: "to_client", Kind: "text", BodyState: policy.BodyParsed, Body: map[string]any{"say": "canary-4"}}
	if s := string(p.Decide(t.Context(), q).Input); strings.Contains(s, "canary") || !strings.Contains(s, `"body":"redacted"`) {
		t.Error(s)
	}
}

func TestDefault(t *testing.T) {
	p, err := Load(t.Context(), Options{Name: "default", FS: policies.Default, Data: map[string]any{"run": map[string]any{
		"below": map[string]any{"github.com": []any{0}}, "mode": "enforce"}}})
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Decide(t.Context(), question(t)); !d.Granted() {
		t.Errorf("%+v", d)
	}
}
