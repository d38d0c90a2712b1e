package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// A reached is what evaluation of a rule can come to: a superset, never less.
type reached struct {
	rules map[*ast.Rule]bool
	reads []inputRead
	clock bool // it asks for the time
}

// An inputRead is a part of the input that an expression names: everything at
// and below path can be read.
type inputRead struct {
	path ast.Ref
	at   *ast.Location
}

// reach follows the compiled rules from an entry.
func reach(c *ast.Compiler, entry ast.Ref) *reached {
	out := &reached{rules: map[*ast.Rule]bool{}}
	opts := ast.RulesOptions{IncludeHiddenModules: true}
	queue := slices.Clone(c.GetRulesDynamicWithOpts(entry, opts))
	for len(queue) > 0 {
		r := queue[0]
		queue = queue[1:]
		if out.rules[r] {
			continue
		}
		out.rules[r] = true
		for d := range c.Graph.Dependencies(r) {
			if dr, ok := d.(*ast.Rule); ok {
				queue = append(queue, dr)
			}
		}
		for e := r.Else; e != nil; e = e.Else {
			queue = append(queue, e)
		}
		ast.WalkRefs(r, func(ref ast.Ref) bool {
			if ref[0].Equal(ast.DefaultRootDocument) { // whatever the graph narrowed it to
				queue = append(queue, c.GetRulesDynamicWithOpts(ref, opts)...)
			}
			return false
		})
		out.scan(r)
	}
	return out
}

// now is the one builtin that policies have whose value is not that of its arguments.
var now = ast.MustParseRef("time.now_ns")

// scan notes where a rule names the input. A variable that stands for a part of
// it was bound by an expression that names that part, so all that can be read
// through the variable is counted there.
func (o *reached) scan(r *ast.Rule) {
	at := r.Location
	var visit func(x any) bool
	walk := func(x any) { ast.NewGenericVisitor(visit).Walk(x) }
	visit = func(x any) bool {
		switch x := x.(type) {
		case *ast.Rule:
			return x != r // an else branch is a rule of its own
		case *ast.Expr:
			if x.Location != nil {
				at = x.Location
			}
		case ast.Ref:
			o.clock = o.clock || x.Equal(now)
			if x[0].Equal(ast.InputRootDocument) {
				o.reads = append(o.reads, inputRead{x.ConstantPrefix(), at})
				for _, t := range x[1:] {
					walk(t)
				}
				return true
			}
		case ast.Var:
			if x.Equal(ast.InputRootDocument.Value) {
				o.reads = append(o.reads, inputRead{ast.InputRootRef, at})
			}
		}
		return false
	}
	walk(r)
}

// minimal returns the paths without those that another covers.
func (o *reached) minimal() []ast.Ref {
	var out []ast.Ref
	for _, r := range o.reads {
		out = append(out, r.path)
	}
	slices.SortFunc(out, func(a, b ast.Ref) int { return ast.RefCompare(a, b) })
	var min []ast.Ref
	for _, r := range out {
		if !slices.ContainsFunc(min, func(m ast.Ref) bool { return r.HasPrefix(m) }) {
			min = append(min, r)
		}
	}
	return min
}
