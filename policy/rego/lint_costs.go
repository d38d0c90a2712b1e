package rego

import (
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Prices in microseconds of CPU for each new request, on a machine where a loop
// takes half a microsecond for an element. TestPrices measures how they compare.
const (
	priceElement = 0.5 // an element that a loop goes over
	priceMatch   = 1.3 // one that is held against a pattern
	priceLower   = 1.0 // a rule that the index cannot leave out
	priceRegex   = 1.3 // one with a pattern
)

// manyElements is where a loop begins to be dearer than the rest of a decision.
const manyElements = 20

// costs names habits that cost time, with their price.
func (l *lint) costs() {
	l.each(func(r *ast.Rule, e *ast.Expr) {
		if !e.IsCall() || len(e.Operands()) == 0 {
			return
		}
		switch op := e.Operator().String(); op {
		case "lower", "upper":
			if ast.IsConstant(l.stands(r, e.Operand(0)).Value) {
				return
			}
			advice := "compare it with a set of all spellings, or leave it to the last of the conditions"
			what := "what is compared with it is not in the index"
			if refs := l.paths(r, e.Operand(0)); slices.ContainsFunc(refs, canonical) {
				advice, what = fmt.Sprintf("leave %s() out", op), fmt.Sprintf("%v has one spelling here, and the comparison is no longer in the index", refs[0])
			}
			l.warn(e.Location, "cost", advice, "%s(): %s: about %.1f µs for each such rule and new request, instead of next to nothing", op, what, priceLower)
		case "regex.match", "regex.find_n", "regex.find_all_string_submatch_n":
			l.warn(e.Location, "cost", "compare with ==, in, startswith(PATH, …) or segments, which the index knows", "%s: about %.1f µs for each such rule and new request: patterns are not in the index", op, priceRegex)
		}
	})
	for _, r := range l.rules {
		known := ast.NewVarSet()
		for _, a := range r.Head.Args {
			ast.WalkVars(a, func(v ast.Var) bool { known.Add(v); return false })
		}
		l.loops(r, r.Body, known)
	}
}

// canonical reports whether a part of the input is made canonical before policy
// sees it.
func canonical(ref ast.Ref) bool {
	s := ref.String()
	return isHost(ref) || s == "input.destination.scheme" || s == "input.destination.protocol" || s == "input.request.method"
}

// loops finds where a body goes over a collection of data, in the order in which
// it is evaluated.
func (l *lint) loops(r *ast.Rule, body ast.Body, known ast.VarSet) {
	known = maps.Clone(known)
	for i, e := range body {
		ast.NewGenericVisitor(func(x any) bool {
			switch x := x.(type) {
			case *ast.ArrayComprehension:
				l.loops(r, x.Body, known)
				return true
			case *ast.SetComprehension:
				l.loops(r, x.Body, known)
				return true
			case *ast.ObjectComprehension:
				l.loops(r, x.Body, known)
				return true
			case *ast.Every:
				l.loops(r, x.Body, known)
			case ast.Ref:
				l.loop(r, body[i:], e, x, known)
			}
			return false
		}).Walk(e)
		for v := range e.Vars(ast.SafetyCheckVisitorParams) {
			known.Add(v)
		}
	}
}

func (l *lint) loop(r *ast.Rule, rest ast.Body, at *ast.Expr, ref ast.Ref, known ast.VarSet) {
	full, ok := l.stands(r, ast.NewTerm(ref)).Value.(ast.Ref)
	if !ok || !full[0].Equal(ast.DefaultRootDocument) || at.IsCall() && full.Equal(at.Operator()) {
		return
	}
	free := slices.IndexFunc(full[1:], func(t *ast.Term) bool {
		v, ok := t.Value.(ast.Var)
		if !ok {
			return false
		}
		_, stands := l.bound[r][v]
		return !stands && !known.Contains(v)
	})
	if free < 0 {
		return
	}
	of := full[:free+1]
	if !of.IsGround() || len(of.ConstantPrefix()) < len(of) { // what is looked up first is likely short
		return
	}
	n, counted := l.size(of)
	if counted && n < manyElements {
		return
	}
	price, what := priceElement, "compares"
	ast.WalkExprs(rest, func(e *ast.Expr) bool {
		if e.IsCall() && slices.Contains([]string{"glob.match", "regex.match", "contains", "lower"}, e.Operator().String()) {
			price, what = priceMatch, "matches"
		}
		return false
	})
	advice := fmt.Sprintf("make %v an object whose keys are what is looked for, and ask `%v[KEY]`: that costs the same for ten and ten thousand", of, of)
	if !counted {
		l.warn(at.Location, "cost", advice, "this loop %s each element of %v: about %.1f µs for each of them and new request", what, of, price)
		return
	}
	l.warn(at.Location, "cost", advice, "this loop %s each of the %d elements of %v: about %.0f µs for a new request", what, n, of, float64(n)*price)
}

// size counts the elements of a collection of data, or of a rule that is one.
func (l *lint) size(ref ast.Ref) (int, bool) {
	var at any = l.data
	for _, t := range ref[1:] {
		m, _ := at.(map[string]any)
		k, _ := t.Value.(ast.String)
		at = m[string(k)]
	}
	switch v := at.(type) {
	case map[string]any:
		return len(v), true
	case []any:
		return len(v), true
	}
	n := 0
	for _, r := range l.p.compiler.GetRulesExact(ref) {
		switch {
		case r.Head.Key != nil:
			n++
		case r.Head.Value != nil:
			if c, ok := r.Head.Value.Value.(interface{ Len() int }); ok {
				n += c.Len()
			}
		}
	}
	return n, n > 0
}
