package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// dead warns of rules that nothing uses, or that never decide anything.
func (l *lint) dead() {
	used := reach(l.p.compiler, ast.MustParseRef("data.sallyport.egress.requires_props")).rules
	for _, x := range l.p.phases {
		for r := range reach(l.p.compiler, x.entry).rules {
			used[r] = true
		}
	}
	whole := map[string]*ast.Rule{} // by name, a rule that always holds
	for _, r := range l.rules {
		if always(r) && r.Head.RuleKind() == ast.SingleValue && len(r.Head.Args) == 0 && !r.Default && r.Else == nil {
			whole[r.Ref().String()] = r
		}
	}
	for _, r := range l.rules {
		switch w := whole[r.Ref().String()]; {
		case !used[r]:
			l.warn(r.Location, "unreachable", "use it, or leave it out", "nothing uses rule %v", r.Ref().GroundPrefix())
		case w != nil && w != r && !r.Default:
			l.warn(r.Location, "unreachable", "leave one of the two out", "rule %v decides nothing: the one in line %d always holds", r.Ref().GroundPrefix(), w.Location.Row)
		case r.Else != nil && always(r):
			l.warn(r.Else.Location, "unreachable", "leave the else out, or give what stands before it a condition", "this else is never reached: what stands before it always holds")
		}
		l.contradictions(r)
	}
}

// always reports whether a rule has no condition.
func always(r *ast.Rule) bool {
	return len(r.Body) == 1 && !r.Body[0].Negated && isTrue(r.Body[0])
}

func isTrue(e *ast.Expr) bool {
	t, ok := e.Terms.(*ast.Term)
	return ok && t.Value.Compare(ast.Boolean(true)) == 0
}

// contradictions warns of conditions that cannot hold together.
func (l *lint) contradictions(r *ast.Rule) {
	said := map[string][]string{}
	for _, e := range r.Body {
		if t, ok := e.Terms.(*ast.Term); ok && !e.Negated && t.Value.Compare(ast.Boolean(false)) == 0 {
			l.warn(e.Location, "unreachable", "leave the rule out", "rule %v never holds: one of its conditions is false", r.Ref().GroundPrefix())
		}
		if e.Negated || len(e.With) > 0 {
			continue
		}
		subject, values := l.comparison(r, e)
		if subject == "" {
			continue
		}
		old, twice := said[subject]
		if !twice {
			said[subject] = values
			continue
		}
		left := slices.DeleteFunc(slices.Clone(old), func(s string) bool { return !slices.Contains(values, s) })
		if len(left) == 0 {
			l.warn(e.Location, "unreachable", "write two rules if either is meant", "rule %v never holds: %s cannot be %s and %s at once", r.Ref().GroundPrefix(), subject, either(old), either(values))
		}
		said[subject] = left
	}
}

// comparison returns the part of the input that has to be one of some constants
// for an expression to hold, or "".
func (l *lint) comparison(r *ast.Rule, e *ast.Expr) (string, []string) {
	constant := func(t *ast.Term) bool { return ast.IsConstant(t.Value) }
	one := func(t *ast.Term) string {
		refs := l.paths(r, t)
		if len(refs) == 1 && refs[0].IsGround() {
			return refs[0].String()
		}
		return ""
	}
	switch {
	case e.IsEquality() || e.IsCall() && e.Operator().String() == "equal" && len(e.Operands()) == 2:
		a, b := e.Operand(0), e.Operand(1)
		if _, local := a.Value.(ast.Var); local { // an assignment says nothing yet
			if _, known := l.bound[r][a.Value.(ast.Var)]; !known || constant(a) {
				return "", nil
			}
		}
		if s := one(a); s != "" && constant(b) {
			return s, []string{b.String()}
		}
		if s := one(b); s != "" && constant(a) {
			return s, []string{a.String()}
		}
	case e.IsCall() && e.Operator().String() == "internal.member_2" && len(e.Operands()) == 2:
		set, ok := l.stands(r, e.Operand(1)).Value.(ast.Set)
		if s := one(e.Operand(0)); ok && s != "" && set.IsGround() {
			var out []string
			set.Foreach(func(t *ast.Term) { out = append(out, t.String()) })
			return s, out
		}
	}
	return "", nil
}

func either(values []string) string {
	if len(values) > 3 {
		values = append(slices.Clone(values[:3]), "…")
	}
	out := ""
	for i, v := range values {
		if i > 0 {
			out += " or "
		}
		out += v
	}
	return out
}
