package rego

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// viewRefs are the views of a request.
var viewRefs = map[policy.View]ast.Ref{
	policy.ViewForm: ast.MustParseRef("input.request.form"), policy.ViewMultipart: ast.MustParseRef("input.request.multipart"),
	policy.ViewGraphQL: ast.MustParseRef("input.request.graphql"), policy.ViewRPC: ast.MustParseRef("input.request.rpc"),
}

// unknownViews are those that exist and are not known.
func unknownViews(r *policy.RequestFacts) (out []ast.Ref) {
	unknown := r.Unknown()
	for v, ref := range viewRefs {
		if unknown&v != 0 {
			out = append(out, ref)
		}
	}
	return out
}

// hides reports whether GraphQL is asked that is not known, of what has no body.
func (x *phase) hides(q *policy.Question) bool {
	return q.Request != nil && q.Request.Hidden&policy.ViewGraphQL != 0 && overlaps(x.reads, viewRefs[policy.ViewGraphQL])
}

// readsViews reports whether a phase can read any of them.
func readsViews(x *phase) bool {
	for _, ref := range viewRefs {
		if overlaps(x.reads, ref) {
			return true
		}
	}
	return false
}

// views puts what is known of them.
func (p part) views(v *policy.Views) {
	if p.w.at("form") != nil && v.Form != nil {
		o := ast.NewObject()
		for k, vs := range v.Form {
			o.Insert(ast.StringTerm(k), list(vs))
		}
		p.set("form", ast.NewTerm(o))
	}
	views(p, "multipart", v.Multipart, partOf)
	views(p, "graphql", v.GraphQL, func(op policy.Operation) *ast.Term {
		o := pairs("type", op.Type, "name", op.Name)
		o.Insert(str("fields"), list(op.Fields))
		return ast.NewTerm(o)
	})
	views(p, "rpc", v.RPC, callOf)
}

func views[E any](p part, name string, of []E, term func(E) *ast.Term) {
	if of == nil || p.w.at(name) == nil {
		return
	}
	ts := make([]*ast.Term, 0, len(of))
	for _, e := range of {
		ts = append(ts, term(e))
	}
	p.set(name, ast.ArrayTerm(ts...))
}

// pairs is an object of names and texts, without those that are "".
func pairs(kv ...string) ast.Object {
	o := ast.NewObject()
	for i := 0; i < len(kv); i += 2 {
		if kv[i+1] != "" {
			o.Insert(str(kv[i]), ast.StringTerm(kv[i+1]))
		}
	}
	return o
}

func partOf(x policy.Part) *ast.Term {
	o := pairs("name", x.Name, "content_type", x.ContentType)
	if x.IsFile {
		o.Insert(str("filename"), ast.StringTerm(x.Filename))
	}
	o.Insert(str("size"), ast.NumberTerm(json.Number(strconv.FormatInt(x.Size, 10))))
	if x.Value != nil {
		o.Insert(str("value"), ast.StringTerm(*x.Value))
	}
	return ast.NewTerm(o)
}

func callOf(c policy.Call) *ast.Term {
	o := pairs("kind", c.Kind, "method", c.Method, "tool", c.Tool)
	for k, v := range map[string]any{"id": c.ID, "params": c.Params} {
		if v == nil {
			continue
		}
		if t, err := ast.InterfaceToValue(v); err == nil {
			o.Insert(str(k), ast.NewTerm(t))
		}
	}
	return ast.NewTerm(o)
}

// appendCalls writes calls without what they hand over.
func appendCalls(dst []byte, v ast.Value) []byte {
	calls, ok := v.(*ast.Array)
	if !ok {
		return append(dst, redacted...)
	}
	dst = append(dst, '[')
	for i := range calls.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		o, ok := calls.Elem(i).Value.(ast.Object)
		if !ok {
			dst = append(dst, redacted...)
			continue
		}
		dst = appendObject(dst, o, func(dst []byte, k string, v ast.Value) []byte {
			if slices.Contains([]string{"id", "params"}, k) {
				return append(dst, redacted...)
			}
			return appendValue(dst, v)
		})
	}
	return append(dst, ']')
}
