package rego

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/open-policy-agent/opa/v1/ast"
)

// unknownField says of a path that no input has which are known instead, and
// which is likely meant; both are "" when something else is wrong.
func unknownField(e *ast.Error) (message, meant string) {
	d, ok := e.Details.(*ast.RefErrInvalidDetail)
	if !ok || len(d.OneOf) == 0 || d.Pos < 1 || d.Pos >= len(d.Ref) {
		return "", ""
	}
	wrong, _ := d.Ref[d.Pos].Value.(ast.String)
	if wrong == "" {
		return "", ""
	}
	best, far := "", 3
	var known []string
	for _, v := range d.OneOf {
		k, ok := v.(ast.String)
		if !ok {
			return "", ""
		}
		known = append(known, string(k))
		if n := levenshtein.ComputeDistance(string(wrong), string(k)); n < far {
			best, far = string(k), n
		}
	}
	slices.Sort(known)
	hint := ""
	if best != "" {
		hint = " (did you mean " + best + "?)"
		meant = "write " + d.Ref[:d.Pos].Append(ast.StringTerm(best)).Concat(d.Ref[d.Pos+1:]).String()
	}
	return fmt.Sprintf("there is no %s%s; known in %s are %s", d.Ref[:d.Pos+1], hint, d.Ref[:d.Pos], strings.Join(known, ", ")), meant
}
