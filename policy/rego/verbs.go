package rego

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"

	"sallyport/policy"
)

// A shape is what a verb must be: true or undefined, one object, or a set whose
// elements are objects with these keys. A text in a set can stand for an object
// that has only the key short.
type shape struct {
	kind  string // boolean, object, set
	short string
	keys  []string
	all   bool // every key must be there
}

var (
	flag    = shape{kind: "boolean"}
	denials = shape{kind: "set", short: "code", keys: []string{"code", "public", "operator"}}
	words   = shape{kind: "set", short: "text", keys: []string{"text"}}
	header  = shape{kind: "set", keys: []string{"name", "value"}, all: true}
	limits  = shape{kind: "set", keys: []string{"request_bytes", "response_bytes", "seconds", "requests", "per", "burst", "concurrency", "name"}}
	answer  = shape{kind: "set", keys: []string{"response_bytes"}} // limits of what is coming already
	audits  = shape{kind: "set", keys: []string{"level", "tags"}}

	verbs = map[policy.Phase]map[string]shape{
		policy.Request: {"allow": flag, "websocket": flag, "deny": denials, "respond": {kind: "object", keys: []string{"status", "headers", "body"}},
			"rewrite": {kind: "object", keys: []string{"scheme", "host", "path"}}, "credentials": {kind: "set", short: "name", keys: []string{"name", "params"}},
			"set_headers": header, "remove_headers": words, "patch_body": patches, "limits": limits, "reasons": words, "audit": audits, "requires_props": words},
		policy.Connect:  {"allow": flag, "opaque": flag, "deny": denials, "limits": limits, "reasons": words, "audit": audits},
		policy.DNS:      {"allow": flag, "deny": denials, "reasons": words, "audit": audits},
		policy.Dial:     {"deny": denials, "reasons": words, "audit": audits},
		policy.Response: {"deny": denials, "set_headers": header, "remove_headers": words, "patch_body": patches, "limits": answer, "reasons": words, "audit": audits},
		policy.Message:  {"deny": denials, "reasons": words, "audit": audits},
	}
)

func packageOf(ph policy.Phase) ast.Ref {
	if ph == policy.Request {
		return dataRef("egress")
	}
	return dataRef("egress", string(ph))
}

func entryOf(ph policy.Phase) ast.Ref {
	return dataRef("sallyport", string(ph), "decision")
}

// dataRef is data.a.b…, made without a parser: it is asked for often.
func dataRef(names ...string) ast.Ref {
	out := make(ast.Ref, 0, len(names)+2)
	out = append(out, ast.DefaultRootDocument)
	for _, n := range names {
		out = append(out, ast.InternedTerm(n))
	}
	return out
}

func phaseOf(pkg ast.Ref) policy.Phase {
	for ph := range verbs {
		if pkg.Equal(packageOf(ph)) {
			return ph
		}
	}
	return ""
}

// check says what is wrong with a verb whose inferred type is t.
func (s shape) check(verb string, t types.Type) error {
	switch s.kind {
	case "boolean":
		if types.Compare(t, types.B) != 0 {
			return fmt.Errorf("%[1]s must be true or undefined, but it is %[2]v: write `%[1]s if { … }`", verb, t)
		}
	case "object":
		o, ok := t.(*types.Object)
		if !ok {
			return fmt.Errorf("%s must be one object with keys of %v, but it is %v", verb, s.keys, t)
		}
		return s.object(verb, o)
	case "set":
		set, ok := t.(*types.Set)
		if !ok {
			return fmt.Errorf("%[1]s must be a set, but it is %[2]v: write `%[1]s contains … if { … }`", verb, t)
		}
		elems := []types.Type{set.Of()}
		if a, ok := set.Of().(types.Any); ok {
			elems = a // none when nothing is known: then evaluation checks
		}
		for _, e := range elems {
			switch e := e.(type) {
			case types.String:
				if s.short == "" {
					return fmt.Errorf("%s: an element must be an object with keys of %v, not a text", verb, s.keys)
				}
			case *types.Object:
				if err := s.object(verb, e); err != nil {
					return err
				}
			case types.Any:
			default:
				return fmt.Errorf("%s: an element must be a text or an object, not %v", verb, e)
			}
		}
	}
	return nil
}

func (s shape) object(verb string, o *types.Object) error {
	if s.all && o.DynamicProperties() == nil && len(o.Keys()) < len(s.keys) {
		return fmt.Errorf("%s: an element must have the keys %v", verb, s.keys)
	}
	for _, k := range o.Keys() {
		if !slices.Contains(s.keys, fmt.Sprint(k)) {
			return fmt.Errorf("%s: the key %q is not known; known are %v", verb, k, s.keys)
		}
	}
	return nil
}
