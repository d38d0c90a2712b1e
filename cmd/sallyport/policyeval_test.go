package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

const evalPolicy = `package egress

import data.lib.web

allow if {
	input.sandbox.labels.team == "web"
	input.destination.host == "api.example.com"
	web.reads(input.request.method)
}

allow if {
	input.destination.host == "api.example.com"
	input.request.method == "POST"
	input.request.body.name == "a"
}

allow if {
	input.destination.host == "old.example.com"
	input.destination.protocol == "h2"
}

deny contains {"code": "no_admin", "public": "closed", "operator": "runbook 7"} if input.request.segments[0] == "admin"

set_headers contains {"name": "X-Tenant-Id", "value": input.sandbox.props.tenant_id}

credentials contains "api" if input.destination.host == "api.example.com"

allow if startswith(input.destination.host, "twice")

rewrite := {"host": concat("", ["twice", input.destination.host])} if startswith(input.destination.host, "twice")

rewrite := {"host": "api.example.com"} if input.destination.host == "old.example.com"

requires_props contains "tenant_id"
`

var triedPolicy = map[string]string{
	"egress.rego":  evalPolicy,
	"web.rego":     "package lib.web\n\nreads(method) if method in {\"GET\", \"HEAD\"}\n",
	"connect.rego": "package egress.connect\n\nallow if {\n\tinput.destination.host == \"db.example.com\"\n\tinput.destination.port == 5432\n}\n\nopaque if allow\n",
	"dial.rego":    "package egress.dial\n\ndeny contains \"inside\" if {\n\tsome a in input.addresses\n\tnet.cidr_contains(\"10.0.0.0/8\", a)\n}\n",
}

// One request, asked offline in each way to write it, and the exit code that says
// what the answer is.
func TestPolicyEval(t *testing.T) {
	dir := policyDir(t, triedPolicy)
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "body.json"), []byte(`{"name": "a"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	web := []string{"--label", "team=web", "--prop", "tenant_id=t1"}
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"GET", "https://api.example.com/x"}, 0, []string{"allow  GET https://api.example.com/x", "held    egress.allow at policy/egress.rego:5", "held    lib.web.reads at policy/web.rego:3", "puts on credential api", "sets    X-Tenant-Id: t1"}},
		{[]string{"https://api.example.com"}, 0, []string{"allow  GET https://api.example.com"}},
		{[]string{"DELETE", "https://api.example.com/x", "--trace"}, 1, []string{"default_deny (no rule allows this)", "failed  egress.allow at policy/egress.rego:5, in line 8: web.reads(input.request.method)", `input.request.method is "DELETE"`, "failed  lib.web.reads at policy/web.rego:3, in line 3"}},
		{[]string{"https://api.example.com/admin/x"}, 1, []string{"no_admin (closed)", "deny    no_admin: closed: runbook 7", "held    egress.deny at policy/egress.rego:22"}},
		{[]string{"https://api.example.com/a/../b"}, 1, []string{"path_invalid", "refused before the policy is asked"}},
		{[]string{"http://api.example.com:22/"}, 1, []string{"port_denied", "refused whatever the policy says"}},
		{[]string{"http://api.example.com:22/admin"}, 1, []string{"no_admin"}},
		{[]string{"https://twice.example.com/"}, 1, []string{"rewrite_again"}},
		{[]string{"POST", "https://api.example.com/x", "-d", `{"name": "a"}`}, 0, []string{"allow", "egress.rego:11"}},
		{[]string{"POST", "https://api.example.com/x", "-d", `{"name": "b"}`, "--trace"}, 1, []string{"default_deny", `input.request.body.name is "b"`}},
		{[]string{"POST", "https://api.example.com/x", "-d", "@body.json"}, 0, []string{"allow"}},
		{[]string{"POST", "https://api.example.com/x", "-d", "name=a"}, 1, []string{"deny"}},
		{[]string{"--", "curl", "-sSL", "-X", "POST", "https://api.example.com/x", "-H", "content-type: application/json", "-d", `{"name":"a"}`}, 0, []string{"allow  POST https://api.example.com/x"}},
		{[]string{"--", "curl", "https://api.example.com/x", "--json", "@body.json", "-o", "/dev/null", "--compressed"}, 0, []string{"allow  POST"}},
		{[]string{"--", "curl", "-XHEAD", "api.example.com/x"}, 0, []string{"allow  HEAD http://api.example.com/x"}},
		{[]string{"--", "curl", "-G", "https://api.example.com/x", "-d", "q=1"}, 0, []string{"allow  GET https://api.example.com/x?q=1"}},
		{[]string{"--", "curl", "-I", "https://api.example.com/admin"}, 1, []string{"no_admin"}},
		{[]string{"--", "curl", "https://api.example.com/x", "--unix-socket", "/s"}, 2, []string{"curl: --unix-socket is not known here"}},
		{[]string{"--", "curl", "https://a.example", "https://b.example"}, 2, []string{"is a second URL"}},
		{[]string{"tcp://db.example.com:5432"}, 0, []string{"allow  tcp://db.example.com:5432", "egress.connect, ", "held    egress.connect.opaque"}},
		{[]string{"tcp://db.example.com:22", "--trace"}, 1, []string{"default_deny", "input.destination.port is 22"}},
		{[]string{"https://db.example.com:5432/"}, 0, []string{"its TLS passes unread"}},
		{[]string{"https://api.example.com/", "--address", "93.184.216.34"}, 0, []string{"egress.dial, "}},
		{[]string{"https://api.example.com/", "--address", "10.1.2.3"}, 1, []string{"deny   GET https://api.example.com/: inside", "egress.dial, "}},
		{[]string{"https://old.example.com/x", "--http2"}, 0, []string{"rewritten to https://api.example.com/x, and judged again"}},
		{[]string{"https://old.example.com/x"}, 1, []string{"default_deny"}},
		{[]string{"GET", "nonsense"}, 2, []string{"expected a URL such as"}},
		{[]string{"GET", "https://a.example", "more"}, 2, []string{`"more" has no place here`}},
	} {
		cut := len(c.args)
		for i, a := range c.args {
			if a == "--" {
				cut = i
			}
		}
		args := append(append(append([]string{"policy", "eval", "policy"}, c.args[:cut]...), web...), c.args[cut:]...)
		out, said, code := beside(t, dir, args...)
		if code != c.code {
			t.Errorf("%v: exit code %d, want %d\n%s%s", c.args, code, c.code, out, said)
		}
		for _, w := range c.want {
			if !strings.Contains(out+said, w) {
				t.Errorf("%v: %q is not in\n%s%s", c.args, w, out, said)
			}
		}
	}
	if _, said, code := beside(t, dir, "policy", "eval", "policy", "https://api.example.com/"); code != 2 || !strings.Contains(said, "--prop tenant_id=VALUE") {
		t.Errorf("without what the policy needs: exit code %d, %s", code, said)
	}
}

// What eval asks a policy is what the proxy asks it about the same request.
func TestPolicyEvalAsksWhatIsAsked(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{})
	pol := filepath.Join(filepath.Dir(p.dir), "policy")
	if err := os.Mkdir(pol, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pol, "p.rego"), []byte("package egress\n\nallow if {\n\tinput.destination.host == \"api.example.com\"\n\tcount(input.request) > 100\n}\n\nreasons contains json.marshal(input.destination) if true\n\nreasons contains json.marshal(input.sandbox.labels) if true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const curl = `curl -s --http1.1 -X POST 'https://api.example.com/a%2Fb/c?x=1&x=2' -H 'X-One: 1' -H 'x-one: 2' --json '{"a": [1, {"b": null}]}' -A me`
	p.sh([]string{"--policy", pol, "--label", "team=web"}, curl)
	recorded := p.find(map[string]string{"url.domain": "api.example.com", "event.name": "egress.request.decision"})
	out, said, code := p.beside("policy", "eval", pol, "--json", "--label", "team=web", "--", "curl", "--http1.1", "-X", "POST", "https://api.example.com/a%2Fb/c?x=1&x=2",
		"-H", "X-One: 1", "-H", "x-one: 2", "--json", `{"a": [1, {"b": null}]}`, "-A", "me")
	var v verdict
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 1 || len(v.Phases) != 1 || len(recorded) != 1 {
		t.Fatalf("%v, exit code %d, %d records\n%s%s", err, code, len(recorded), out, said)
	}
	var tried, asked any
	if err := json.Unmarshal(v.Phases[0].Input, &tried); err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(recorded[0].Fields["policy.input"])
	_ = json.Unmarshal(b, &asked)
	for _, part := range []string{"destination", "request"} {
		a, b := fmt.Sprint(asked.(map[string]any)[part]), fmt.Sprint(tried.(map[string]any)[part])
		if a != b || a == "<nil>" {
			t.Errorf("%s\nproxy %s\neval  %s", part, a, b)
		}
	}
}

// beside runs the binary as who calls, outside of any sandbox.
func (p *place) beside(args ...string) (stdout, stderr string, code int) {
	return beside(p.t, filepath.Join(filepath.Dir(p.dir), "policy"), args...)
}
