package rego

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"sallyport/policy"
)

// A Trace is how the author's rules came out for one question. Rules that their
// index or another rule left out are in it too.
type Trace struct {
	Held   []RuleAt `json:"held"`
	Failed []Failed `json:"failed"` // each at the condition that it got to
}

// A RuleAt is a rule and its place.
type RuleAt struct {
	Rule string `json:"rule"` // below data, such as egress.allow
	File string `json:"file"`
	Row  int    `json:"row"`
}

// A Failed is a rule that did not hold, the condition at which it ended, and what
// the condition was about. A value that is not there is "undefined".
type Failed struct {
	RuleAt
	Line      int               `json:"line"`
	Condition string            `json:"condition"`
	Values    map[string]string `json:"values"`
}

// Trace asks a question again, slowly, and says how each rule came out. What it
// returns has parts of the question in clear.
func (p *Policy) Trace(ctx context.Context, q *policy.Question) (*Trace, error) {
	x := p.phases[q.Phase]
	if x == nil {
		return nil, fmt.Errorf("phase %q is not known", q.Phase)
	}
	return p.trace(ctx, x, &tracer{in: build(x.wants, q)})
}

// TraceAgain says how each rule came out for what a record has of a question: where
// a value is not known, it says why.
func (p *Policy) TraceAgain(ctx context.Context, ph policy.Phase, k *Kept, at time.Time) (*Trace, error) {
	x := p.phases[ph]
	if x == nil {
		return nil, fmt.Errorf("phase %q is not known", ph)
	}
	in, err := p.kept(ph, k)
	if err != nil {
		return nil, err
	}
	return p.trace(ctx, x, &tracer{in: in, missing: k.missing}, rego.EvalTime(at))
}

func (p *Policy) trace(ctx context.Context, x *phase, t *tracer, more ...rego.EvalOption) (*Trace, error) {
	t.rules, t.got, t.far = map[uint64]*ast.Rule{}, map[*ast.Rule]bool{}, map[*ast.Rule]topdown.Event{}
	b := &budget{left: 50 * p.steps, end: time.Now().Add(50 * p.deadline), ctx: ctx}
	_, err := x.query.Eval(ctx, append(more, rego.EvalExternalCancel(b), rego.EvalParsedInput(t.in), rego.EvalTransaction(p.txn), rego.EvalMetrics(metrics.NoOp()),
		rego.EvalRuleIndexing(false), rego.EvalEarlyExit(false), rego.EvalQueryTracer(t))...)
	out := &Trace{Held: []RuleAt{}, Failed: []Failed{}}
	for _, r := range t.order {
		at := RuleAt{strings.TrimPrefix(r.Ref().GroundPrefix().String(), "data."), r.Location.File, r.Location.Row}
		if t.got[r] {
			out.Held = append(out.Held, at)
		} else if ev, ok := t.far[r]; ok {
			f := Failed{RuleAt: at, Values: t.values(ev)}
			if ev.Location != nil {
				f.Line, f.Condition = ev.Location.Row, strings.TrimSpace(string(ev.Location.Text))
			}
			if e := ev.Node.(*ast.Expr); e.Negated && !strings.HasPrefix(f.Condition, "not ") {
				f.Condition = "not " + f.Condition
			}
			out.Failed = append(out.Failed, f)
		}
	}
	return out, err
}

// A tracer keeps of an evaluation which rules held, and how far the others got.
type tracer struct {
	in      ast.Value
	missing func(path []string) string // why a part of in is not known; nil when all is
	rules   map[uint64]*ast.Rule       // by query
	order   []*ast.Rule
	got     map[*ast.Rule]bool
	far     map[*ast.Rule]topdown.Event
}

// Enabled says that events are wanted.
func (*tracer) Enabled() bool { return true }

// Config asks for the values of variables.
func (*tracer) Config() topdown.TraceConfig { return topdown.TraceConfig{PlugLocalVars: true} }

// TraceEvent takes one event.
func (t *tracer) TraceEvent(ev topdown.Event) {
	switch n := ev.Node.(type) {
	case *ast.Rule:
		if n.Module == nil || n.Module.Package.Path[1].Value.Compare(ast.String("sallyport")) == 0 || n.Default {
			return
		}
		switch ev.Op {
		case topdown.EnterOp:
			t.rules[ev.QueryID] = n
			if !slices.Contains(t.order, n) {
				t.order = append(t.order, n)
			}
		case topdown.ExitOp:
			t.got[n] = true
		}
	case *ast.Expr:
		r := t.rules[ev.QueryID]
		if ev.Op != topdown.FailOp || r == nil {
			return
		}
		if old, ok := t.far[r]; !ok || old.Node.(*ast.Expr).Index <= n.Index {
			t.far[r] = ev
		}
	}
}

// values are those of the input and of the author's variables that a condition names.
func (t *tracer) values(ev topdown.Event) map[string]string {
	out := map[string]string{}
	local := func(v ast.Var) (ast.Value, bool) {
		if ev.Locals == nil {
			return nil, false
		}
		x := ev.Locals.Get(v)
		return x, x != nil
	}
	bound := bindingsOf(t.rules[ev.QueryID])
	var visit func(x any) bool
	walk := func(x any) { ast.NewGenericVisitor(visit).Walk(x) }
	visit = func(x any) bool {
		switch x := x.(type) {
		case ast.Ref:
			if !x[0].Equal(ast.InputRootDocument) {
				return false
			}
			full, name := slices.Clone(x), slices.Clone(x)
			for i, e := range full[1:] {
				v, ok := e.Value.(ast.Var)
				if !ok {
					continue
				}
				if got, ok := local(v); ok {
					full[i+1], name[i+1] = ast.NewTerm(got), ast.NewTerm(got)
				}
			}
			if !full.IsGround() {
				full = full.ConstantPrefix()
				name = full
			}
			text := "undefined"
			got, err := t.in.Find(full[1:])
			if err == nil {
				text = got.String()
			}
			if t.missing != nil {
				if why := t.missing(stringsOf(full)); why == wasRedacted || why != "" && err != nil {
					text = why
				}
			}
			out[name.String()] = clipped(text)
			return true
		case ast.Var:
			if to, ok := bound[x]; ok {
				if ref, ok := to.Value.(ast.Ref); ok && ref[0].Equal(ast.InputRootDocument) {
					walk(ref)
				}
			}
			if m, known := ev.LocalMetadata[x]; known {
				if got, ok := local(x); ok {
					out[string(m.Name)] = clipped(got.String())
				}
			}
		}
		return false
	}
	walk(ev.Node)
	maps.DeleteFunc(out, func(k, _ string) bool { return strings.HasPrefix(k, "__") || strings.HasPrefix(k, "$") })
	return out
}

// clipped is a value that is not too long to be looked at.
func clipped(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
