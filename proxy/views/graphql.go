package views

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"sallyport/policy"
)

// maxTokens bounds a document of GraphQL, and how deep it can be.
const maxTokens = 4096

// asked are the names by which GraphQL is asked. What stands for a document that the
// server keeps is unknown here.
var asked = []string{"query", "operationName", "variables", "extensions"}

var kept = []string{"id", "documentId", "document_id", "doc_id", "queryId", "queryHash", "hash", "persistedQuery"}

// asks reports whether a query may have a server execute something.
func asks(q map[string][]string) bool {
	for k := range q {
		if among(k, asked) || among(k, kept) {
			return true
		}
	}
	return false
}

func among(k string, names []string) bool {
	return !only(map[string]any{k: nil}, names...) || slices.Contains(names, k)
}

// operations are what a body of JSON has executed, nil when that is not known.
func operations(v any, q map[string][]string) []policy.Operation {
	switch v := v.(type) {
	case map[string]any:
		return one(v, q)
	case []any:
		var out []policy.Operation
		for _, e := range v {
			m, ok := e.(map[string]any)
			if !ok || asks(q) {
				return nil
			}
			op := one(m, nil)
			if op == nil {
				return nil
			}
			out = append(out, op...)
		}
		return out
	}
	return nil
}

// one is what a request has executed that says what in its body, its query, or both
// alike: servers differ in which they heed.
func one(m map[string]any, q map[string][]string) []policy.Operation {
	for k, vs := range q {
		if !among(k, asked) {
			if among(k, kept) {
				return nil
			}
			continue
		}
		if len(vs) != 1 {
			return nil
		}
		if old, both := m[k]; both && old != vs[0] && (k == "query" || k == "operationName") {
			return nil
		}
	}
	if !only(m, asked...) || !only(fieldsOf(q), asked...) {
		return nil
	}
	for k, v := range m {
		if v != nil && among(k, kept) {
			return nil
		}
	}
	query, name := m["query"], m["operationName"]
	if vs := q["query"]; len(vs) > 0 {
		query = vs[0]
	}
	if vs := q["operationName"]; len(vs) > 0 {
		name = vs[0]
	}
	text, ok := query.(string)
	called, isText := name.(string)
	if !ok || !isText && name != nil {
		return nil
	}
	op, ok := operation(text, called)
	if !ok {
		return nil
	}
	return []policy.Operation{op}
}

// operation finds in a document the one operation that is executed.
func operation(text, called string) (out policy.Operation, ok bool) {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxTokens)
	if err != nil {
		return out, false
	}
	var found *ast.OperationDefinition
	names := map[string]bool{}
	for _, op := range doc.Operations {
		if names[op.Name] || op.Name == "" && len(doc.Operations) > 1 {
			return out, false
		}
		names[op.Name] = true
		if op.Name == called || called == "" && len(doc.Operations) == 1 {
			found = op
		}
	}
	if found == nil {
		return out, false
	}
	fragments := map[string]*ast.FragmentDefinition{}
	for _, f := range doc.Fragments {
		if fragments[f.Name] != nil {
			return out, false
		}
		fragments[f.Name] = f
	}
	fields := map[string]bool{}
	if !roots(found.SelectionSet, fragments, map[string]bool{}, fields) {
		return out, false
	}
	out = policy.Operation{Type: string(found.Operation), Name: found.Name, Fields: []string{}}
	for f := range fields {
		out.Fields = append(out.Fields, f)
	}
	slices.Sort(out.Fields)
	return out, true
}

// roots collects the names of fields that a selection has at its root, each fragment
// once.
func roots(set ast.SelectionSet, fragments map[string]*ast.FragmentDefinition, seen, fields map[string]bool) bool {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			fields[s.Name] = true
		case *ast.InlineFragment:
			if !roots(s.SelectionSet, fragments, seen, fields) {
				return false
			}
		case *ast.FragmentSpread:
			f := fragments[s.Name]
			if f == nil {
				return false
			}
			if seen[s.Name] {
				continue
			}
			seen[s.Name] = true
			if !roots(f.SelectionSet, fragments, seen, fields) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
