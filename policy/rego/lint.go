package rego

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// A lint looks for what compiles and is likely not meant. It works on compiled
// rules, where names are whole and each call stands by itself.
type lint struct {
	p        *Policy
	data     map[string]any
	rules    []*ast.Rule            // the author's, in order of their places; else branches count
	bound    map[*ast.Rule]bindings // what variables of a rule stand for
	args     map[string][]ast.Ref   // by function and argument, what calls hand over, when all is of the input
	errors   []Problem
	warnings []Problem
}

// bindings are what a rule's variables stand for, as far as that is one thing: a
// part of the input or of data, or a constant.
type bindings map[ast.Var]*ast.Term

func newLint(p *Policy, src *source) *lint {
	l := &lint{p: p, data: src.data, bound: map[*ast.Rule]bindings{}, args: map[string][]ast.Ref{}}
	for _, f := range slices.Sorted(maps.Keys(src.modules)) {
		for _, r := range p.compiler.Modules[f].Rules {
			for ; r != nil; r = r.Else {
				l.rules = append(l.rules, r)
			}
		}
	}
	for _, r := range l.rules {
		l.bound[r] = bindingsOf(r)
	}
	for range 3 { // a function may hand over to another
		l.calls()
	}
	return l
}

func (l *lint) warn(at *ast.Location, code, advice, format string, a ...any) {
	p := problemAt(at, code, advice, fmt.Sprintf(format, a...))
	if !slices.Contains(l.warnings, p) {
		l.warnings = append(l.warnings, p)
	}
}

func problemAt(at *ast.Location, code, advice, message string) Problem {
	p := Problem{Code: code, Message: message, Advice: advice}
	if at != nil {
		p.File, p.Row, p.Col = at.File, at.Row, at.Col
	}
	return p
}

// same are builtins whose value, in lower or upper case, is still the name that
// they were given.
var same = []string{"lower", "upper", "trim_space"}

func bindingsOf(r *ast.Rule) bindings {
	out := bindings{}
	twice := map[ast.Var]bool{}
	bind := func(v, to *ast.Term) {
		x, ok := v.Value.(ast.Var)
		if !ok || to.Equal(v) {
			return
		}
		if old, known := out[x]; known && !old.Equal(to) {
			twice[x] = true
		}
		out[x] = to
	}
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		switch {
		case e.Negated:
		case e.IsEquality() || e.IsAssignment():
			a, b := e.Operand(0), e.Operand(1)
			if _, ok := a.Value.(ast.Var); ok {
				bind(a, b)
			} else {
				bind(b, a)
			}
		case e.IsCall() && slices.Contains(same, e.Operator().String()) && len(e.Operands()) == 2:
			bind(e.Operand(1), e.Operand(0))
		}
		return false
	})
	for v := range twice {
		delete(out, v)
	}
	return out
}

// stands returns what a term stands for in a rule.
func (l *lint) stands(r *ast.Rule, t *ast.Term) *ast.Term {
	for range 8 {
		switch v := t.Value.(type) {
		case ast.Var:
			to, ok := l.bound[r][v]
			if !ok {
				return t
			}
			t = to
		case ast.Ref:
			head, ok := v[0].Value.(ast.Var)
			if !ok {
				return t
			}
			to, ok := l.bound[r][head]
			if !ok {
				return t
			}
			base, ok := to.Value.(ast.Ref)
			if !ok {
				return t
			}
			t = ast.NewTerm(base.Concat(v[1:]))
		default:
			return t
		}
	}
	return t
}

// paths are the parts of the input that a term may stand for; an argument of a
// function stands for all that calls hand over.
func (l *lint) paths(r *ast.Rule, t *ast.Term) []ast.Ref {
	switch v := l.stands(r, t).Value.(type) {
	case ast.Ref:
		if v[0].Equal(ast.InputRootDocument) {
			return []ast.Ref{v}
		}
	case ast.Var:
		for i, a := range r.Head.Args {
			if a.Equal(ast.NewTerm(v)) {
				return l.args[argument(r.Ref(), i)]
			}
		}
	}
	return nil
}

func argument(fn ast.Ref, i int) string { return fmt.Sprintf("%v/%d", fn, i) }

// calls notes what of the input functions of the author's are called with.
func (l *lint) calls() {
	for _, r := range l.rules {
		ast.WalkExprs(r, func(e *ast.Expr) bool {
			if !e.IsCall() || !e.Operator().HasPrefix(ast.DefaultRootRef) {
				return false
			}
			for i, t := range e.Operands() {
				k := argument(e.Operator(), i)
				for _, ref := range l.paths(r, t) {
					if !slices.ContainsFunc(l.args[k], func(o ast.Ref) bool { return o.Equal(ref) }) {
						l.args[k] = append(l.args[k], ref)
					}
				}
			}
			return false
		})
	}
}

// isHost reports whether a part of the input is the name of a host.
func isHost(ref ast.Ref) bool {
	s := ref.String()
	return s == "input.destination.host" || s == "input.question.name" || strings.HasPrefix(s, "input.destination.authority.") ||
		strings.HasPrefix(s, "input.destination.host_suffixes[")
}

// host returns how a term that is the name of a host is called.
func (l *lint) host(r *ast.Rule, t *ast.Term) (string, bool) {
	for _, ref := range l.paths(r, t) {
		if isHost(ref) {
			return ref.String(), true
		}
	}
	return "", false
}

// texts are the constants that a term is, or holds.
func (l *lint) texts(r *ast.Rule, t *ast.Term) (out []string) {
	add := func(t *ast.Term) {
		if s, ok := t.Value.(ast.String); ok {
			out = append(out, string(s))
		}
	}
	switch v := l.stands(r, t).Value.(type) {
	case ast.String:
		out = append(out, string(v))
	case ast.Set:
		v.Foreach(add)
	case *ast.Array:
		v.Foreach(add)
	case ast.Object:
		v.Foreach(func(k, _ *ast.Term) { add(k) })
	}
	return out
}

// each calls do with every expression of the author's rules.
func (l *lint) each(do func(r *ast.Rule, e *ast.Expr)) {
	for _, r := range l.rules {
		ast.NewGenericVisitor(func(x any) bool {
			switch x := x.(type) {
			case *ast.Rule:
				return x != r
			case *ast.Expr:
				do(r, x)
			}
			return false
		}).Walk(r)
	}
}
