package rego

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"sallyport/policy"
)

// A Gap is why a decision cannot be made again: an expression of a rule is able to
// read what the record does not have.
type Gap struct {
	Path string `json:"path"` // of the input, such as request.headers.accept
	Why  string `json:"why"`  // "redacted" or "not recorded"
	File string `json:"file"`
	Row  int    `json:"row"`
}

// Again asks what was asked before, of what a record has of it: time.now_ns is at.
// A decision is the one that every value of what the record does not have would give;
// where there is none, the Gap says why. What was not known then is uncertain now.
func (p *Policy) Again(ctx context.Context, ph policy.Phase, k *Kept, at time.Time) (d *policy.Decision, gap *Gap) {
	q := &policy.Question{Phase: ph}
	defer func() {
		if r := recover(); r != nil { // as in Decide
			d, gap = p.failed(q, fmt.Errorf("panic: %v", r)), nil
		}
	}()
	x := p.phases[ph]
	if x == nil {
		return p.failed(q, fmt.Errorf("phase %q is not known", ph)), nil
	}
	d = &policy.Decision{Phase: ph, Policy: p.name, Digest: p.digest}
	in, err := p.kept(ph, k)
	if err != nil {
		d.Err = err
		return d, nil
	}
	b := &budget{left: p.steps, end: time.Now().Add(p.deadline), ctx: ctx}
	t := gaps(x, k, b)
	if t != nil { // it looks at rules that an index would leave out
		b.left *= 50
	}
	left := b.left
	term, err := p.eval(ctx, x, in, b, t, rego.EvalTime(at))
	d.Steps = left - b.left
	switch {
	case t.lacks():
		return nil, t.gap()
	case errors.Is(err, errUncertain):
		d.Deny = []policy.Denial{{Code: policy.CodeUncertain, Public: "the policy depends on a part of this message that is not known", Operator: err.Error()}}
		return d, nil
	case err != nil:
		d.Err = err
		return d, nil
	}
	p.finish(ctx, x, in, term, d)
	return d, nil
}

// kept is an input of what is known of it.
func (p *Policy) kept(ph policy.Phase, k *Kept) (ast.Value, error) {
	k.settle(ph, func(part string) bool {
		for ph, parts := range bodied {
			if slices.Contains(parts, part) && slices.ContainsFunc(bodies[part], func(view string) bool { return p.Reads(ph, part, view) }) {
				return true
			}
		}
		return false
	})
	return k.value()
}

// gaps notices what the record does not have, and what was uncertain then, if the
// phase can read any of it; nil otherwise.
func gaps(x *phase, k *Kept, b *budget) *touch {
	if !slices.ContainsFunc(x.reads, func(r ast.Ref) bool { return k.missing(stringsOf(r)) != "" || k.uncertain(stringsOf(r)) }) {
		return nil
	}
	return &touch{budget: b, memo: map[ast.Node]string{}, misses: func(r ast.Ref) string {
		path := stringsOf(r)
		if k.uncertain(path) {
			return "it"
		}
		if why := k.missing(path); why != "" {
			return why + lacking + strings.Join(path, ".")
		}
		return ""
	}}
}

// lacking stands between why something is not known and what.
const lacking = "\x00"

func (t *touch) lacks() bool { return t != nil && strings.Contains(t.what, lacking) }

func (t *touch) gap() *Gap {
	why, path, _ := strings.Cut(t.what, lacking)
	g := &Gap{Path: cmp.Or(path, "input"), Why: why}
	if t.at != nil {
		g.File, g.Row = t.at.File, t.at.Row
	}
	return g
}

// Depends returns what a decision of a phase depends on, of what a record has: two
// that are equal give the same answer. It reports false when it depends on the time
// too.
func (p *Policy) Depends(ph policy.Phase, k *Kept) (string, bool) {
	x := p.phases[ph]
	if x == nil || x.clock {
		return "", false
	}
	if _, err := p.kept(ph, k); err != nil {
		return "", false
	}
	b := append([]byte(ph), 0)
	k.whole.walk("", func(at string) { b = append(append(b, at...), 0) })
	for _, r := range x.reads {
		path := stringsOf(r)
		why := k.missing(path)
		if why == "" && k.uncertain(path) {
			why = "?"
		}
		b = append(append(b, 0), why...)
		var v any = k.facts
		for _, name := range path {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		j, err := json.Marshal(v)
		if err != nil {
			return "", false
		}
		b = append(append(b, 0), j...)
	}
	for _, of := range [...][]lack{k.gone, k.state, k.unsure} {
		for _, l := range of {
			b = append(append(b, 1), strings.Join(l.path, "\x00")+l.why...)
		}
		b = append(b, 2)
	}
	return string(b), true
}
