package rego

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/dependencies"

	"sallyport/policy"
	"sallyport/sandbox"
)

// A writer writes policies that use the language in as many ways as it has to read
// the input.
type writer struct {
	*rand.Rand
	n int // names so far
}

// facts are texts of the input and values that they can have.
var facts = []struct {
	ref    string
	values []string
}{
	{"input.destination.host", []string{"a.example.com", "b.example.com", "a.co.uk"}},
	{"input.destination.registered_domain", []string{"example.com", "a.co.uk"}},
	{"input.destination.scheme", []string{"http", "https"}},
	{"input.destination.protocol", []string{"h2", "http/1.1"}},
	{"input.destination.authority.sni", []string{"a.example.com"}},
	{"input.request.method", []string{"GET", "POST"}},
	{"input.request.path", []string{"/", "/x", "/x/y"}},
	{"input.request.content_type", []string{"application/json"}},
	{"input.request.segments[0]", []string{"x", ""}},
	{"input.request.query.q[0]", []string{"1", "2"}},
	{"input.request.headers.accept[0]", []string{"a", "b"}},
	{"input.request.body.a", []string{"1", "2"}},
	{"input.request.form.a[0]", []string{"1", "2"}},
	{"input.request.multipart[_].name", []string{"a", "f"}},
	{"input.request.graphql[0].type", []string{"query", "mutation"}},
	{"input.request.rpc[0].method", []string{"ping", "tools/call"}},
	{"input.request.grpc.service", []string{"a.B", "a.C"}},
	{"input.sandbox.labels.team", []string{"web", "ops"}},
	{"input.sandbox.name", []string{"a"}},
}

// lists are what can be iterated over, and objects what has names.
var (
	lists   = []string{"input.destination.host_suffixes", "input.request.segments", "input.request.query.q", "input.request.headers.accept", `input.request.headers["x-a"]`}
	objects = []string{"input.request.query", "input.request.headers", "input.sandbox.labels", "input.sandbox.props", "input.destination.authority", "input.request", "input.destination"}
)

func (w *writer) one(vs []string) string { return vs[w.IntN(len(vs))] }

func (w *writer) name() string { w.n++; return fmt.Sprintf("v%d", w.n) }

func (w *writer) fact() (ref, value string) {
	f := facts[w.IntN(len(facts))]
	return f.ref, fmt.Sprintf("%q", w.one(f.values))
}

// test is an expression, or some of them, that may hold.
func (w *writer) test() string {
	ref, value := w.fact()
	v := w.name()
	switch w.IntN(24) {
	case 0:
		return ref
	case 1:
		return "not " + ref
	case 2:
		return fmt.Sprintf("not %s == %s", ref, value)
	case 3: // an alias of a part of it
		i := strings.LastIndex(ref, ".")
		return fmt.Sprintf("%s := %s\n\t%s%s == %s", v, ref[:i], v, ref[i:], value)
	case 4:
		return fmt.Sprintf("some %s in %s\n\t%s == %s", v, w.one(lists), v, value)
	case 5:
		return fmt.Sprintf("some %s, _ in %s\n\t%s != \"q\"", v, w.one(objects), v)
	case 6:
		return fmt.Sprintf("every %s in %s { %s != %s }", v, w.one(lists), v, value)
	case 7:
		return fmt.Sprintf("walk(%s, [_, %s])\n\t%s == %s", w.one(append(objects, "input")), v, v, value)
	case 8: // a key that is not written down
		return fmt.Sprintf("some %s in {\"method\", \"path\", \"path_raw\"}\n\tinput.request[%s] == %s", v, v, value)
	case 9:
		return fmt.Sprintf("%s := data.names[input.destination.scheme]\n\tinput.request[%s] == %s", v, v, value)
	case 10:
		return fmt.Sprintf("object.get(%s, [\"q\", 0], \"none\") == %s", w.one(objects), value)
	case 11:
		return fmt.Sprintf("count([1 | some %s in %s; %s == %s]) > 0", v, w.one(lists), v, value)
	case 12:
		return fmt.Sprintf("data.lib.same(%s, %s)", ref, value)
	case 13:
		return fmt.Sprintf("data.lib.method_of(input.request) == %s", value)
	case 14:
		return fmt.Sprintf("data.lib.asked(%s)", value)
	case 15:
		return "data.lib.yes"
	case 16:
		return fmt.Sprintf("data.lib.yes with input.request.method as %s", value)
	case 17:
		return fmt.Sprintf("data.lib.yes with input as {\"request\": {\"method\": %s, \"path\": input.request.path}, \"destination\": input.destination}", value)
	case 18:
		return fmt.Sprintf("data.lib.table[%s] == %s", ref, value)
	case 19:
		return fmt.Sprintf("%s in data.lib.members", ref)
	case 20:
		return fmt.Sprintf("data.lib.verdict == %q", w.one([]string{"one", "two", "three"}))
	case 21:
		return fmt.Sprintf("%s := [x | some x in [%s]]\n\t%s[0] == %s", v, ref, v, value)
	case 22:
		return fmt.Sprintf("data.lib.same(data.lib.names[input.destination.port], %s) with data.names as {\"http\": %s}", value, value)
	default:
		return fmt.Sprintf("%s == %s", ref, value)
	}
}

func (w *writer) body() string {
	var out []string
	for range 1 + w.IntN(3) {
		out = append(out, w.test())
	}
	return " if {\n\t" + strings.Join(out, "\n\t") + "\n}\n"
}

// policies are the modules of one.
func (w *writer) policies() map[string]string {
	ref, value := w.fact()
	ref2, value2 := w.fact()
	lib := "package lib\n\ndefault yes := false\n\nyes if " + ref + " == " + value + "\n\nyes if {\n\tr := input.request\n\tr.method == " + value + "\n}\n\n" +
		"table[" + ref2 + "] := " + ref + "\n\nmembers contains " + ref2 + "\n\nmembers contains x if some x in " + w.one(lists) + "\n\n" +
		"verdict := \"one\" if {\n\t" + ref + " == " + value + "\n} else := \"two\" if {\n\t" + ref2 + " == " + value2 + "\n} else := \"three\"\n\n" +
		"names[input.destination.port] := data.names[input.destination.scheme]\n\n" +
		"same(a, b) if a == b\n\nmethod_of(r) := r.method\n\nasked(x) if x == input.request.method\n\nasked(x) if x == " + ref2 + "\n"
	out := "package egress\n\n"
	for range 1 + w.IntN(2) {
		out += "allow" + w.body() + "\n"
	}
	if w.IntN(2) == 0 {
		out += "# METADATA\n# title: refused\ndeny contains {\"code\": \"no\", \"operator\": rego.metadata.rule().title}" + w.body() + "\n"
	}
	switch w.IntN(4) {
	case 0:
		out += "reasons contains json.marshal(" + w.one(append(append(objects, lists...), "input.sandbox", "input.request.size", "input.request.body_state", "input.request.body")) + ")\n\n"
	case 1:
		out += "reasons contains x" + strings.Replace(w.body(), "{\n", "{\n\tx := "+ref+"\n", 1) + "\n"
	}
	return map[string]string{"p.rego": out, "lib/l.rego": lib, "data.json": `{"names": {"http": "path", "https": "method"}}`}
}

// searched is a search for a question that a cache answers otherwise than evaluation.
type searched struct {
	policies, refused, evaluations int
	found                          string
}

// search writes policies, and asks each of them. With spoil the key of the cache is
// made by somebody else.
func search(ctx context.Context, t *testing.T, seed uint64, policies, questions int, spoil func(p *Policy, x *phase)) (s searched) {
	boxes := []*sandbox.Sandbox{{ID: "1", Name: "a", Labels: map[string]string{"team": "web"}, Props: map[string]any{"n": 1}}, {ID: "1", Name: "a", Labels: map[string]string{"team": "ops"}},
		{ID: "2", Name: "b", Labels: map[string]string{"team": "web"}, Props: map[string]any{"q": []any{"2"}}}}
	for i := range policies {
		w := &writer{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		files := w.policies()
		p, err := Load(ctx, Options{Name: "p", Dir: write(t, files), Deadline: time.Minute})
		if err != nil {
			s.refused++
			continue
		}
		s.policies++
		x := p.phases[policy.Request]
		if spoil != nil {
			spoil(p, x)
		}
		for range questions {
			q := randomQuestion(w.Rand, boxes)
			got, want := *p.Decide(ctx, q), *p.answer(ctx, x, q)
			s.evaluations++
			got.Took, want.Took, got.Cached = 0, 0, false
			if spoil != nil { // what is recorded may differ: what is decided may not
				got.Input, want.Input, got.Steps, want.Steps = nil, nil, 0, 0
			}
			if !reflect.DeepEqual(got, want) {
				s.found = fmt.Sprintf("%s\n%s\nreads %v\n%+v %+v\nis decided as\n%+v, kept as\n%+v", files["p.rego"], files["lib/l.rego"], x.reads, q.Destination, q.Request, want, got)
				return s
			}
		}
	}
	return s
}

// Whatever a policy does with its input, what is kept is what evaluation says. What
// OPA itself takes for the base documents of a query is no key, and this test knows.
func TestCacheIsSoundForAnyPolicy(t *testing.T) {
	policies, questions := 250, 60
	if os.Getenv("SALLYPORT_SOAK") != "" {
		policies = 60_000
	}
	s := search(t.Context(), t, 1, policies, questions, nil)
	t.Logf("%d policies were asked %d questions, %d were no policies", s.policies, s.evaluations, s.refused)
	if s.found != "" {
		t.Error(s.found)
	}
	if s.policies < policies*3/4 {
		t.Errorf("only %d of %d are policies", s.policies, policies)
	}
	base := search(t.Context(), t, 1, 250, questions, func(p *Policy, x *phase) {
		refs, err := dependencies.Base(p.compiler, ast.NewBody(ast.NewExpr(ast.NewTerm(x.entry))))
		if err != nil {
			t.Fatal(err)
		}
		theirs := *x
		theirs.reads = nil
		for _, r := range refs {
			if r[0].Equal(ast.InputRootDocument) {
				theirs.reads = append(theirs.reads, r.ConstantPrefix())
			}
		}
		x.parts = keyParts(policy.Request, &theirs, false)
	})
	t.Logf("with a key of dependencies.Base a difference was found after %d policies", base.policies)
	if base.found == "" {
		t.Error("a key that is not sound is not noticed")
	}
}
