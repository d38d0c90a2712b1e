package rego

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// present are the parts of the input that are there in every question of their
// phase. Of the others a condition may find nothing.
var present = []string{
	"input.destination.host", "input.destination.host_suffixes", "input.destination.port", "input.destination.scheme", "input.destination.protocol",
	"input.request.method", "input.request.path", "input.request.path_raw", "input.request.segments", "input.request.segments[0]", "input.request.body_state",
	"input.request.headers", "input.request.query", "input.sandbox.id", "input.sandbox.name", "input.sandbox.labels", "input.sandbox.props",
	"input.response.status", "input.response.headers", "input.response.body_state", "input.message.direction", "input.message.kind", "input.message.body_state",
	"input.question.name", "input.question.name_suffixes", "input.question.type", "input.addresses",
}

// absent warns of a negated call about what may not be there, in the input or in data. The call's arguments
// are looked up before it is made, outside of `not`: where there is nothing, the
// condition does not hold, and a rule that denies denies nothing.
func (l *lint) absent() {
	for _, r := range l.rules {
		for _, e := range r.Body {
			if !e.Negated || !e.IsCall() || len(e.With) > 0 || e.IsEquality() || e.Operator().String() == "equal" {
				continue
			}
			for _, t := range e.Operands() {
				ref, ok := l.hoisted(r, t)
				if !ok || slices.Contains(present, ref.String()) {
					continue
				}
				what := "the rule does not hold then"
				if r.Head.Name.String() == "deny" {
					what = "the rule denies nothing then"
				}
				l.warn(e.Location, "absent", "put the condition without `not` into a rule of its own, and write `not` before the name of that rule",
					"where there is no %v, this does not hold, although there is a `not` before it: %s", ref, what)
			}
		}
	}
}

// hoisted is the part of the input that an argument stands for by no variable of
// the author's, or one of data that there is not.
func (l *lint) hoisted(r *ast.Rule, t *ast.Term) (ast.Ref, bool) {
	if v, ok := t.Value.(ast.Var); ok {
		if _, named := l.p.compiler.RewrittenVars[v]; named || !strings.HasPrefix(string(v), "__local") {
			return nil, false
		}
	}
	ref, ok := l.stands(r, t).Value.(ast.Ref)
	if !ok || !ref.IsGround() {
		return nil, false
	}
	if ref[0].Equal(ast.DefaultRootDocument) {
		return ref, l.document(ref) == nil && len(l.p.compiler.GetRules(ref)) == 0
	}
	return ref, ref[0].Equal(ast.InputRootDocument)
}
