package rego

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"golang.org/x/sys/unix"

	"sallyport/dest"
	"sallyport/policies"
	"sallyport/policy"
)

// hosts is what a command line grants: n names, and what is below as many.
func hosts(n int) map[string]any {
	allow, below := map[string]any{"api.github.com": []any{0}}, map[string]any{}
	for i := range n {
		allow[fmt.Sprintf("h%d.example.com", i)] = []any{0}
		below[fmt.Sprintf("d%d.example.org", i)] = []any{443}
	}
	return map[string]any{"run": map[string]any{"allow": allow, "below": below, "web": map[string]any{}, "credentials": map[string]any{}, "mode": "enforce"}}
}

func reference(b *testing.B, n int, uncached bool) *Policy {
	b.Helper()
	p, err := Load(b.Context(), Options{Name: "default", FS: policies.Default, Data: hosts(n), Uncached: uncached, Deadline: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func to(b testing.TB, host string) *policy.Question {
	b.Helper()
	q := question(b)
	a, err := dest.ParseAddr(host + ":443")
	if err != nil {
		b.Fatal(err)
	}
	q.Destination.Addr = a
	return q
}

func decide(b *testing.B, p *Policy, q *policy.Question, granted bool) {
	b.ReportAllocs()
	defer processor(b)()
	for b.Loop() {
		if d := p.Decide(b.Context(), q); d.Err != nil || d.Granted() != granted {
			b.Fatal(d)
		}
	}
}

// processor reports the processor's time of an operation, that of the collector
// included: it says the same on a machine that has other things to do.
func processor(b *testing.B) func() {
	used := func() int64 {
		var ru unix.Rusage
		_ = unix.Getrusage(unix.RUSAGE_SELF, &ru)
		return ru.Utime.Nano() + ru.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

// What was decided before.
func BenchmarkCached(b *testing.B) {
	b.Run("reference", func(b *testing.B) { decide(b, reference(b, 1000, false), to(b, "api.github.com"), true) })
	b.Run("everything", func(b *testing.B) { // a policy that looks at all that requests commonly have
		p := load(b, "package egress\n\nallow if {\n\tinput.sandbox.labels.team == \"web\"\n\tinput.destination.host == \"api.github.com\"\n\tinput.destination.port == 443\n\tinput.request.method == \"GET\"\n\tstartswith(input.request.path, \"/\")\n\tnot input.request.headers[\"x-debug\"]\n\tnot input.request.query.admin\n}\n")
		q := question(b)
		decide(b, p, q, p.Decide(b.Context(), q).Granted())
	})
}

// What is new, by how many hosts there are.
func BenchmarkUncached(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		p := reference(b, n, true)
		b.Run(fmt.Sprintf("hosts=%d/allow", n), func(b *testing.B) { decide(b, p, to(b, "h7.example.com"), true) })
		b.Run(fmt.Sprintf("hosts=%d/below", n), func(b *testing.B) { decide(b, p, to(b, "x.d7.example.org"), true) })
		b.Run(fmt.Sprintf("hosts=%d/deny", n), func(b *testing.B) { decide(b, p, to(b, "other.example.net"), false) })
	}
}

// What each further verb costs: the difference between a line and the one before.
func BenchmarkVerbs(b *testing.B) {
	text := "package egress\n\nallow if input.destination.host == \"api.github.com\"\n"
	for _, v := range []struct{ name, rule string }{
		{"allow", ""},
		{"deny", "deny contains {\"code\": \"no\", \"public\": \"no\"} if input.request.method == \"TRACE\"\n"},
		{"credentials", "credentials contains \"github\" if input.destination.host == \"api.github.com\"\n"},
		{"set_headers", "set_headers contains {\"name\": \"X-Team\", \"value\": \"web\"}\n"},
		{"limits", "limits contains {\"seconds\": 300}\n"},
		{"reasons", "reasons contains \"granted\"\n"},
		{"audit", "audit contains {\"tags\": [\"github\"]}\n"},
	} {
		text += v.rule
		p, err := Load(b.Context(), Options{Name: "p", Dir: write(b, map[string]string{"p.rego": text}), Uncached: true, Deadline: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(v.name, func(b *testing.B) { decide(b, p, to(b, "api.github.com"), true) })
	}
}

// What habits of authors cost, for as many hosts.
func BenchmarkHabits(b *testing.B) {
	for _, n := range []int{10, 1000} {
		var list, lowered, equal, matched []string
		for i := range n {
			h := fmt.Sprintf("h%d.example.com", i)
			list = append(list, fmt.Sprintf("%q", h))
			lowered = append(lowered, fmt.Sprintf("allow if lower(input.destination.host) == %q", h))
			equal = append(equal, fmt.Sprintf("allow if input.destination.host == %q", h))
			matched = append(matched, fmt.Sprintf("allow if regex.match(`^h%d\\.example\\.com$`, input.destination.host)", i))
		}
		for _, h := range []struct{ name, text string }{
			{"equal", strings.Join(equal, "\n\n")},
			{"lower", strings.Join(lowered, "\n\n")},
			{"regex", strings.Join(matched, "\n\n")},
			{"loop", "allow if {\n\tsome h in hosts\n\th == input.destination.host\n}\n\nhosts := [" + strings.Join(list, ", ") + "]"},
			{"set", "allow if input.destination.host in hosts\n\nhosts := {" + strings.Join(list, ", ") + "}"},
		} {
			p, err := Load(b.Context(), Options{Name: "p", Dir: write(b, map[string]string{"p.rego": "package egress\n\n" + h.text + "\n"}), Uncached: true, Steps: 1 << 30, Deadline: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("hosts=%d/%s", n, h.name), func(b *testing.B) { decide(b, p, to(b, "other.example.net"), false) })
		}
	}
}

// The same rules by OPA as it is commonly embedded: the input a map, nothing kept.
func BenchmarkPlain(b *testing.B) {
	p := reference(b, 1000, true)
	var opts []func(*rego.Rego)
	src, err := read(Options{Name: "default", FS: policies.Default, Data: hosts(1000)})
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range src.modules {
		opts = append(opts, rego.ParsedModule(m))
	}
	all, err := composing()
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range all {
		opts = append(opts, rego.ParsedModule(m))
	}
	opts = append(opts, rego.Query("data.sallyport.egress.decision"), rego.Store(inmem.NewFromObject(hosts(1000))))
	q, err := rego.New(opts...).PrepareForEval(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	ask := to(b, "api.github.com")
	r := ask.Request
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		defer processor(b)()
		for b.Loop() {
			headers := map[string]any{}
			for k, vs := range r.Header {
				headers[strings.ToLower(k)] = vs
			}
			rs, err := q.Eval(b.Context(), rego.EvalInput(map[string]any{
				"sandbox":     map[string]any{"id": ask.Sandbox.ID, "name": ask.Sandbox.Name, "labels": ask.Sandbox.Labels, "props": ask.Sandbox.Props},
				"destination": map[string]any{"host": ask.Destination.Addr.Host().String(), "port": ask.Destination.Addr.Port(), "scheme": ask.Destination.Scheme, "protocol": ask.Destination.Protocol, "host_suffixes": ask.Destination.Addr.Host().Suffixes()},
				"request":     map[string]any{"method": r.Method, "path": r.Path, "path_raw": r.PathRaw, "segments": r.Segments, "query": r.Query, "headers": headers, "size": r.Size},
			}))
			if err != nil || rs[0].Expressions[0].Value.(map[string]any)["allow"] != true {
				b.Fatal(rs, err)
			}
		}
	})
	b.Run("new", func(b *testing.B) { decide(b, p, ask, true) })
	kept := reference(b, 1000, false)
	b.Run("repeated", func(b *testing.B) { decide(b, kept, ask, true) })
}
