package policy_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/dest"
	"sallyport/policy"
	"sallyport/policy/rego"
)

func layer(t *testing.T, name, rules string) policy.Engine {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.rego"), []byte("package egress\n\n"+rules), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := rego.Load(t.Context(), rego.Options{Name: name, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ask(t *testing.T, ls *policy.Layers) *policy.Decision {
	t.Helper()
	a, err := dest.ParseAddr("api.example.com:443")
	if err != nil {
		t.Fatal(err)
	}
	return ls.Decide(t.Context(), &policy.Question{Phase: policy.Request, Destination: policy.Destination{Addr: a, Scheme: "https"}, Request: &policy.RequestFacts{Method: "GET", Path: "/"}})
}

// What two layers say together.
func TestLayers(t *testing.T) {
	const yes, no = "allow := true\n", "allow if input.request.method == \"PUT\"\n"
	for name, c := range map[string]struct {
		a, b string
		want string // granted, or the code of the refusal
		also func(*policy.Decision) bool
	}{
		"both allow":           {a: yes, b: yes, want: "granted"},
		"one does not":         {a: yes, b: no, want: "default_deny"},
		"the other does not":   {a: no, b: yes, want: "default_deny"},
		"one denies":           {a: yes, b: yes + "deny contains \"no\"\n", want: "no"},
		"without allow":        {a: yes, b: "deny contains \"no\" if input.request.method == \"PUT\"\n", want: "default_deny"},
		"an error":             {a: yes, b: "allow if input.request.method == \"GET\"\n\nset_headers contains {\"name\": \"Host\", \"value\": \"x\"}\n", want: "policy_error"},
		"headers united":       {a: yes + `set_headers contains {"name": "x-a", "value": "1"}`, b: yes + `set_headers contains {"name": "x-b", "value": "2"}`, want: "granted", also: func(d *policy.Decision) bool { return len(d.Set) == 2 && len(d.Owned) == 2 }},
		"the same header":      {a: yes + `set_headers contains {"name": "x-a", "value": "1"}`, b: yes + `set_headers contains {"name": "X-A", "value": "1"}`, want: "granted", also: func(d *policy.Decision) bool { return len(d.Set) == 1 }},
		"headers that differ":  {a: yes + `set_headers contains {"name": "x-a", "value": "1"}`, b: yes + `set_headers contains {"name": "X-A", "value": "2"}`, want: "header_conflict"},
		"set and removed":      {a: yes + `set_headers contains {"name": "x-a", "value": "1"}`, b: yes + `remove_headers contains "x-a"`, want: "header_conflict"},
		"the smallest limit":   {a: yes + `limits contains {"request_bytes": 10}`, b: yes + `limits contains {"request_bytes": 5, "response_bytes": 7}`, want: "granted", also: func(d *policy.Decision) bool { return d.Limits.RequestBytes == 5 && d.Limits.ResponseBytes == 7 }},
		"credentials united":   {a: yes + `credentials contains "x"`, b: yes + `credentials contains "x"` + "\n" + `credentials contains "y"`, want: "granted", also: func(d *policy.Decision) bool { return len(d.Credentials) == 2 }},
		"answers that differ":  {a: yes + `respond := {"status": 200}`, b: yes + `respond := {"status": 201}`, want: "policy_error"},
		"both grant sockets":   {a: yes + "websocket := true\n", b: yes + "websocket := true\n", want: "granted", also: func(d *policy.Decision) bool { return d.WebSocket }},
		"one grants sockets":   {a: yes + "websocket := true\n", b: yes, want: "granted", also: func(d *policy.Decision) bool { return !d.WebSocket }},
		"one rewrites":         {a: yes, b: yes + `rewrite := {"host": "b.example"}`, want: "granted", also: func(d *policy.Decision) bool { return d.Rewrite.Host == "b.example" }},
		"rewrites that differ": {a: yes + `rewrite := {"host": "a.example"}`, b: yes + `rewrite := {"host": "b.example"}`, want: "policy_error"},
	} {
		for _, swapped := range []bool{false, true} {
			engines := []policy.Engine{layer(t, "org", c.a), layer(t, "team", c.b)}
			if swapped {
				slices.Reverse(engines)
			}
			d := ask(t, policy.NewLayers(engines...))
			got := "granted"
			if ref, refused := d.Refusal(); refused {
				got = ref.Code
			}
			if got != c.want || c.also != nil && !c.also(d) {
				t.Errorf("%s (swapped %v): %s, %+v", name, swapped, got, d)
			}
			if !strings.Contains(d.Policy, "+") || len(d.Digest) != 129 {
				t.Errorf("%s: decided by %q, %q", name, d.Policy, d.Digest)
			}
		}
	}
	if d := ask(t, policy.NewLayers()); d.Granted() || d.Err == nil {
		t.Errorf("no layers: %+v", d)
	}
	if ls := policy.NewLayers(layer(t, "a", yes), layer(t, "b", no)); !ls.Has(policy.Request) || ls.Has(policy.Dial) || !ls.Reads(policy.Request, "request", "method") || ls.Reads(policy.Request, "request", "body") {
		t.Error("what layers have and read is not that of any of them")
	}
	if d := ask(t, policy.NewLayers(layer(t, "a", yes), layer(t, "b", no))); string(d.Input) != `{"a":{},"b":{"request":{"method":"GET"}}}` {
		t.Errorf("input %s", d.Input)
	}
}
