package rego

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sallyport/policy"
)

// What limits count is read out of rules, the same for what was decided before.
func TestQuotas(t *testing.T) {
	p := load(t, `package egress

allow := true

limits contains {"requests": 10, "per": "1m"}

limits contains {"requests": 20, "per": 60, "burst": 5, "seconds": 9} if input.request.method == "GET"

limits contains {"requests": n, "per": "1s", "concurrency": 4, "name": "tier"} if n := data.tiers[input.sandbox.labels.team]

limits contains {"request_bytes": 7}
`)
	q := question(t)
	want := []policy.Quota{{Policy: "test", Version: p.Digest(), Requests: 10, Per: time.Minute, Burst: 5}}
	for range 2 {
		d := p.Decide(t.Context(), q)
		if d.Err != nil || !reflect.DeepEqual(d.Quotas, want) || d.Limits.Duration != 9*time.Second || d.Limits.RequestBytes != 7 {
			t.Errorf("%+v", d)
		}
	}
	both := policy.NewLayers(p, p).Decide(t.Context(), q)
	if !reflect.DeepEqual(both.Quotas, want) {
		t.Errorf("in layers %+v", both.Quotas)
	}
}

// hostile 410: a counter's name is nothing that comes from outside, and what is no
// limit is none at all.
func TestQuotasRefused(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{`limits contains {"requests": 1, "per": "1m", "name": input.request.path}`, "p.rego:5:1: limits: name must be a constant text"},
		{"limits contains {\"requests\": 1, \"per\": \"1m\", \"name\": n} if n := input.sandbox.labels.team", "name must be a constant text"},
		{"limits contains {\"requests\": 1, \"per\": \"1m\", \"name\": n} if some n in [\"a\", \"b\"]", "name must be a constant text"},
		{"limits contains l if l := {\"requests\": 1, \"per\": \"1m\", \"name\": sprintf(\"%s\", [input.request.path])}", "name must be a constant text"},
		{`limits contains {"requests": 1}`, `per is missing: write how long`},
		{`limits contains {"requests": 1, "per": "1 minute"}`, `per is no time such as "1m"`},
		{`limits contains {"requests": 1, "per": "10ms"}`, "per is not between 1s and 24h"},
		{`limits contains {"requests": 1, "per": 86401}`, "per is not between 1s and 24h"},
		{`limits contains {"requests": 0, "per": "1m"}`, "requests is not a whole number above 0"},
		{`limits contains {"requests": 1.5, "per": "1m"}`, "requests is not a whole number above 0"},
		{`limits contains {"burst": 3}`, "requests is missing"},
		{`limits contains {"name": "x", "request_bytes": 1}`, "neither requests nor concurrency is counted"},
		{`limits contains {"request": 1, "per": "1m"}`, `the key "request" is not known`},
		{`audit contains {"level": "all"}`, `level "all" is not known`},
		{`respond := {"status": 99}`, "status 99 is not one of 200 to 599"},
	} {
		_, err := Load(t.Context(), Options{Name: "test", Dir: write(t, map[string]string{"p.rego": "package egress\n\nallow := true\n\n" + c.rule + "\n"})})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n%v\nwant %q", c.rule, err, c.want)
		}
	}
	_, err := Load(t.Context(), Options{Name: "test", Dir: write(t, map[string]string{"p.rego": "package egress.response\n\nlimits contains {\"requests\": 1, \"per\": \"1m\"}\n"})})
	if err == nil || !strings.Contains(err.Error(), "is not known") {
		t.Errorf("answers are counted: %v", err)
	}
	// What only evaluation shows is refused then.
	p := load(t, `package egress

allow := true

limits contains object.union({"requests": 1, "per": "1m"}, {"name": input.request.method})
`)
	if d := p.Decide(t.Context(), question(t)); d.Granted() || d.Err == nil || !strings.Contains(d.Err.Error(), `the name "GET" is not written in a rule`) {
		t.Errorf("%+v", d)
	}
}
