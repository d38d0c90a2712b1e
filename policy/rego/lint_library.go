package rego

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/dest"
)

// manyWarnings is how many entries of one collection are told of.
const manyWarnings = 5

// borrowedCalls warns of what the library is given and never finds: it compares
// with the canonical form of a host or path, and has no other wildcard than "*."
// before a name.
func (l *lint) borrowedCalls() {
	lib := dataRef("sallyport", "lib")
	l.each(func(r *ast.Rule, e *ast.Expr) {
		if !e.IsCall() || len(e.Operands()) < 1 || len(e.Operator()) != 4 || !e.Operator().HasPrefix(lib) {
			return
		}
		last, _ := e.Operator()[3].Value.(ast.String)
		switch name := string(last); name {
		case "host_in", "host_within", "name_in", "name_within":
			said := 0
			for _, s := range l.entries(r, e.Operand(0)) {
				code, wrong, advice := entry(name, s)
				if code == "" {
					continue
				}
				if said++; said > manyWarnings {
					break
				}
				l.warn(e.Location, code, advice, "%s: %s", name, wrong)
			}
		case "path_under", "path_near":
			for _, s := range l.texts(r, e.Operand(0)) {
				if i := strings.IndexAny(s, "?*#"); i >= 0 {
					l.warn(e.Location, "never_holds", fmt.Sprintf("write %q: what is below it is meant anyway", strings.TrimRight(s[:i], "/")), "%s: no path has a part %q, since it ends before the query and there are no wildcards", name, s[i:])
				}
			}
		}
	})
}

// entry says what is wrong with the name of a host in a collection, or returns "".
func entry(function, s string) (code, wrong, advice string) {
	name, below := strings.CutPrefix(s, "*.")
	if below && strings.HasSuffix(function, "_within") {
		return "never_holds", fmt.Sprintf("no host is called %q", s), fmt.Sprintf("write %q: what is below it is meant anyway", name)
	}
	h, err := dest.ParseHost(name)
	switch {
	case err != nil:
		if a, err := dest.ParseAddr(name); err == nil {
			return "never_holds", fmt.Sprintf("no host is called %q", s), fmt.Sprintf("write %q, and `input.destination.port == %d` beside it", strings.TrimSuffix(s, name)+a.Host().String(), a.Port())
		}
		return "never_holds", fmt.Sprintf("no host is called %q", s), "write a name such as \"example.com\", or \"*.example.com\" for what is below it"
	case h.String() != name:
		return "never_holds", fmt.Sprintf("no host is called %q", s), fmt.Sprintf("write %q", strings.TrimSuffix(s, name)+h.String())
	case below || strings.HasSuffix(function, "_within"):
		if _, ip := h.Addr(); !ip && h.RegisteredDomain() == "" && strings.Contains(name, ".") || !strings.Contains(name, ".") && !ip {
			return "host_accident", fmt.Sprintf("%q holds for whoever has a name below %s", s, name), "name the domains below it that are meant"
		}
	}
	return "", "", ""
}

// entries are the texts of a collection: one that is written in place, or that a
// rule or the data of the policy is.
func (l *lint) entries(r *ast.Rule, t *ast.Term) []string {
	if out := l.texts(r, t); len(out) > 0 {
		return out
	}
	ref, ok := l.stands(r, t).Value.(ast.Ref)
	if !ok || !ref[0].Equal(ast.DefaultRootDocument) || !ref.IsGround() {
		return nil
	}
	var out []string
	switch v := l.document(ref).(type) {
	case map[string]any:
		return slices.Sorted(maps.Keys(v))
	case []any:
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
	}
	for _, r := range l.p.compiler.GetRulesExact(ref) {
		if r.Head.Key != nil {
			out = append(out, l.texts(r, r.Head.Key)...)
		} else if r.Head.Value != nil {
			out = append(out, l.texts(r, r.Head.Value)...)
		}
	}
	return out
}

// document is the value of a part of the policy's data, or nil.
func (l *lint) document(ref ast.Ref) (at any) {
	at = l.data
	for _, t := range ref[1:] {
		m, _ := at.(map[string]any)
		k, _ := t.Value.(ast.String)
		at = m[string(k)]
	}
	return at
}
