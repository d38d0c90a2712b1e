package rego

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// constants reads the elements that rules write down as they are: what would be
// refused with each request is an error when the policy is loaded.
func constants(rules []*ast.Rule) (errs ast.Errors) {
	for _, r := range rules {
		verb := r.Head.Name.String()
		e := r.Head.Key
		if e == nil && (verb == "respond" || verb == "rewrite") {
			e = r.Head.Value
		}
		if e == nil || verb == "requires_props" || !ast.IsConstant(e.Value) {
			continue
		}
		if err := decodeElement(verb, e, &policy.Decision{}); err != nil {
			errs = append(errs, ast.NewError(ast.TypeErr, r.Location, "%s: %v", verb, err))
		}
	}
	return errs
}
