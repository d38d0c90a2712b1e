package rego

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/dest"
)

// values warns of comparisons that never hold, since the input has another form.
func (l *lint) values() {
	l.each(func(r *ast.Rule, e *ast.Expr) {
		for _, ref := range refsIn(e) {
			l.fields(r, e, ref)
		}
		var pairs [][2]*ast.Term
		switch {
		case e.IsEquality():
			pairs = [][2]*ast.Term{{e.Operand(0), e.Operand(1)}, {e.Operand(1), e.Operand(0)}}
		case e.IsCall() && (e.Operator().String() == "equal" || e.Operator().String() == "neq") && len(e.Operands()) >= 2:
			pairs = [][2]*ast.Term{{e.Operand(0), e.Operand(1)}, {e.Operand(1), e.Operand(0)}}
		case e.IsCall() && e.Operator().String() == "internal.member_2":
			pairs = [][2]*ast.Term{{e.Operand(0), e.Operand(1)}, {e.Operand(1), e.Operand(0)}}
		}
		for _, p := range pairs {
			for _, ref := range l.paths(r, p[0]) {
				for _, s := range l.texts(r, p[1]) {
					if want := form(ref.String(), s); want != "" {
						l.warn(e.Location, "never_holds", "write "+want, "%v is never %q", ref.ConstantPrefix(), s)
					}
				}
			}
		}
	})
}

// fields warns of header fields that are asked for as nobody calls them here.
func (l *lint) fields(r *ast.Rule, e *ast.Expr, ref ast.Ref) {
	full, ok := l.stands(r, ast.NewTerm(ref)).Value.(ast.Ref)
	if !ok || len(full) < 4 || !full[0].Equal(ast.InputRootDocument) || full[2].Value.Compare(ast.String("headers")) != 0 {
		return
	}
	name, ok := full[3].Value.(ast.String)
	if low := strings.ToLower(string(name)); ok && low != string(name) {
		l.warn(e.Location, "never_holds", fmt.Sprintf("write %v[%q]", full[:3], low), "%v is never there: names of header fields are in lower case", full[:4])
	}
}

func refsIn(e *ast.Expr) (out []ast.Ref) {
	ast.WalkRefs(e, func(r ast.Ref) bool {
		out = append(out, r)
		return false
	})
	return out
}

// form returns how a value has to be written that a part of the input never is as
// it was written, or "".
func form(path, s string) string {
	switch {
	case path == "input.request.method" && s != strings.ToUpper(s):
		return fmt.Sprintf("%q", strings.ToUpper(s))
	case (path == "input.destination.scheme" || path == "input.destination.protocol") && s != strings.ToLower(s):
		return fmt.Sprintf("%q", strings.ToLower(s))
	case path == "input.destination.host" || path == "input.question.name" || strings.HasPrefix(path, "input.destination.host_suffixes"):
		bare := s
		if _, after, ok := strings.Cut(bare, "://"); ok {
			bare, _, _ = strings.Cut(after, "/")
		}
		if strings.HasPrefix(bare, "*.") {
			return fmt.Sprintf("`%q in input.destination.host_suffixes`: there are no wildcards in a comparison", bare[2:])
		}
		if a, err := dest.ParseAddr(bare); err == nil && bare != a.Host().String() {
			return fmt.Sprintf("`input.destination.host == %q` and `input.destination.port == %d`", a.Host().String(), a.Port())
		}
		if h, err := dest.ParseHost(bare); err == nil && h.String() != s {
			return fmt.Sprintf("%q", h.String())
		}
	case path == "input.request.path" && s != "" && !strings.HasPrefix(s, "/"):
		return fmt.Sprintf("%q", "/"+s)
	}
	return ""
}
