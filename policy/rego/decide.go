package rego

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"sallyport/policy"
)

// Errors of an evaluation.
var (
	errUndefined = errors.New("the decision is undefined")
	errShape     = errors.New("the decision has the wrong shape")
	errBudget    = errors.New("the evaluation took too many steps or too long")
	errUncertain = errors.New("the decision depends on a fact that is not known")
)

// Decide answers a question. What goes wrong is an answer that denies.
func (p *Policy) Decide(ctx context.Context, q *policy.Question) (d *policy.Decision) {
	defer func() {
		if r := recover(); r != nil { // a bug of an evaluator is not a grant
			d = p.failed(q, fmt.Errorf("panic: %v", r))
		}
	}()
	x := p.phases[q.Phase]
	if x == nil {
		return p.failed(q, fmt.Errorf("phase %q is not known", q.Phase))
	}
	if x.parts == nil {
		return p.answer(ctx, x, q)
	}
	room := rooms.Get().(*[]byte)
	defer rooms.Put(room)
	key, keep := x.key((*room)[:0], q)
	if !keep {
		return p.answer(ctx, x, q)
	}
	*room = key[:0]
	var sb any
	if x.ofSandbox {
		sb = q.Sandbox
	}
	if d = x.kept.get(sb, key); d == nil {
		if d = p.answer(ctx, x, q); d.Err == nil {
			x.kept.put(sb, key, d)
		}
	}
	return d
}

// rooms are for keys while they are looked up.
var rooms = sync.Pool{New: func() any { return new(make([]byte, 0, 512)) }}

// failed is the answer where there is none.
func (p *Policy) failed(q *policy.Question, err error) *policy.Decision {
	return &policy.Decision{Err: err, Phase: q.Phase, Policy: p.name, Digest: p.digest}
}

// answer evaluates.
func (p *Policy) answer(ctx context.Context, x *phase, q *policy.Question) *policy.Decision {
	start := time.Now()
	d := &policy.Decision{Phase: q.Phase, Policy: p.name, Digest: p.digest}
	p.evaluate(ctx, x, q, d, start)
	if d.Took = time.Since(start); d.Err != nil {
		d.Allow, d.Opaque, d.WebSocket = false, false, false
	}
	return d
}

// key writes what a decision depends on, if it can be kept.
func (x *phase) key(dst []byte, q *policy.Question) ([]byte, bool) {
	if x.parts == nil {
		return nil, false
	}
	for _, part := range x.parts {
		var ok bool
		if dst, ok = part(dst, q); !ok || len(dst) > maxKey {
			return nil, false
		}
	}
	return dst, true
}

// evaluate asks OPA.
func (p *Policy) evaluate(ctx context.Context, x *phase, q *policy.Question, d *policy.Decision, start time.Time) {
	in := build(x.wants, q)
	b := &budget{left: p.steps, end: start.Add(p.deadline), ctx: ctx}
	term, err := p.eval(ctx, x, in, b, touching(x, uncertain(q), b))
	d.Steps = p.steps - b.left
	d.Input, d.Reads = project(in, x.hides(q)), x.told
	switch {
	case errors.Is(err, errUncertain):
		d.Deny = []policy.Denial{{Code: policy.CodeUncertain, Public: "the policy depends on a part of this message that is not known", Operator: err.Error()}}
		return
	case err != nil:
		d.Err = err
		return
	}
	p.finish(ctx, x, in, term, d)
}

// finish makes a decision of what was evaluated.
func (p *Policy) finish(ctx context.Context, x *phase, in ast.Value, term *ast.Term, d *policy.Decision) {
	if err := decode(term, d); err != nil {
		d.Err = err
		return
	}
	if n, bad := x.unnamed(d.Quotas); bad {
		d.Err = fmt.Errorf("limits: the name %q is not written in a rule", n)
		return
	}
	d.Owned = x.owned
	p.merge(ctx, x, in, d)
}

// touching notices what is not known, if a phase can read any of it; nil otherwise.
func touching(x *phase, unknown []ast.Ref, b *budget) *touch {
	for _, u := range unknown {
		if overlaps(x.reads, u) {
			return &touch{budget: b, memo: map[ast.Node]string{}, misses: func(r ast.Ref) string {
				if overlaps(unknown, r) {
					return "it"
				}
				return ""
			}}
		}
	}
	return nil
}

// eval evaluates, up to the first expression that t notices; nil notices none.
func (p *Policy) eval(ctx context.Context, x *phase, in ast.Value, b *budget, t *touch, more ...rego.EvalOption) (*ast.Term, error) {
	opts := []rego.EvalOption{rego.EvalParsedInput(in), rego.EvalTransaction(p.txn), rego.EvalMetrics(metrics.NoOp()),
		rego.EvalInterQueryBuiltinValueCache(p.values), rego.EvalGenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) { return t, nil })}
	if t != nil {
		opts = append(opts, rego.EvalQueryTracer(t), rego.EvalRuleIndexing(false), rego.EvalEarlyExit(false), rego.EvalExternalCancel(t))
	} else {
		opts = append(opts, rego.EvalExternalCancel(b))
	}
	rs, err := x.query.Eval(ctx, append(opts, more...)...)
	switch {
	case t != nil && t.hit != "":
		return nil, fmt.Errorf("%w: %s", errUncertain, t.hit)
	case b.spent.Load():
		return nil, errBudget
	case err != nil:
		return nil, err
	case len(rs) != 1 || len(rs[0].Expressions) != 1:
		return nil, errUndefined
	}
	term, ok := rs[0].Expressions[0].Value.(*ast.Term)
	if !ok {
		return nil, errShape
	}
	return term, nil
}

// A budget ends an evaluation that takes too long. OPA asks it before every
// expression, so counting costs no timer and no goroutine.
type budget struct {
	left  int
	end   time.Time
	ctx   context.Context
	spent atomic.Bool
}

var _ topdown.Cancel = (*budget)(nil)

// Cancel ends the evaluation.
func (b *budget) Cancel() { b.spent.Store(true) }

// Cancelled counts one step.
func (b *budget) Cancelled() bool {
	b.left--
	if b.left < 0 || b.left%64 == 0 && (time.Now().After(b.end) || b.ctx.Err() != nil) {
		b.spent.Store(true)
	}
	return b.spent.Load()
}

// A touch notices when evaluation comes to an expression that can read what is
// not known. Evaluation is deterministic and reads input in expressions only, so
// one that comes to none of them goes the same way whatever the fact is.
type touch struct {
	*budget
	misses func(ast.Ref) string // what an expression that reads it would read and is not known; "" when all is
	memo   map[ast.Node]string
	hit    string
	what   string        // misses said at it
	at     *ast.Location // where it was
}

// Enabled says that events are wanted.
func (*touch) Enabled() bool { return true }

// Config asks for nothing more.
func (*touch) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// Cancelled ends the evaluation at the first touch.
func (t *touch) Cancelled() bool { return t.hit != "" || t.budget.Cancelled() }

// TraceEvent looks at each expression before it is evaluated.
func (t *touch) TraceEvent(ev topdown.Event) {
	if t.hit != "" || ev.Op != topdown.EvalOp || ev.Node == nil {
		return
	}
	reads, known := t.memo[ev.Node]
	if !known {
		reads = t.reads(ev.Node)
		t.memo[ev.Node] = reads
	}
	if reads != "" {
		t.hit, t.what, t.at = fmt.Sprintf("an expression at %v reads %s", ev.Location, reads), reads, ev.Location
	}
}

func (t *touch) reads(n any) (hit string) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.Ref:
			if x[0].Equal(ast.InputRootDocument) {
				if hit == "" {
					hit = t.misses(x.ConstantPrefix())
				}
				for _, e := range x[1:] {
					if hit == "" {
						hit = t.reads(e)
					}
				}
				return true
			}
		case ast.Var:
			if hit == "" && x.Equal(ast.InputRootDocument.Value) {
				hit = t.misses(ast.InputRootRef)
			}
		}
		return hit != ""
	}).Walk(n)
	return hit
}
