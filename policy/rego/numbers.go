package rego

import (
	"errors"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"sallyport/policy"
)

var errUnbounded = errors.New("a text that was read as numbers has one that is too long to calculate with")

// Builtins that make numbers of a text end the evaluation at one that is not
// bounded: undefined, as a text that is no number, it could keep a rule of deny
// from holding (hostile 141).
func init() {
	for _, name := range []string{"to_number", "json.unmarshal", "yaml.unmarshal", "units.parse", "units.parse_bytes"} {
		read := topdown.GetBuiltin(name)
		topdown.RegisterBuiltinFunc(name, func(c topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
			return read(c, operands, func(t *ast.Term) error {
				if !bounded(t) {
					return topdown.Halt{Err: errUnbounded}
				}
				return iter(t)
			})
		})
	}
}

// bounded reports whether all numbers in a value are.
func bounded(t *ast.Term) bool {
	ok := true
	ast.NewGenericVisitor(func(x any) bool {
		if n, is := x.(ast.Number); is && !policy.Bounded(string(n)) {
			ok = false
		}
		return !ok
	}).Walk(t)
	return ok
}
