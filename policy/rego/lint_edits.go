package rego

import (
	"fmt"
	"net/textproto"

	"github.com/open-policy-agent/opa/v1/ast"
)

// An edit is what a rule does to a header field whose name is a constant. The
// value is "" for one that is removed.
type edit struct {
	rule        *ast.Rule
	name, value string
}

// edits finds rules that disagree on a header field: an error when they hold
// together, since each such request would be refused; else a warning, unless
// their conditions exclude each other.
func (l *lint) edits() {
	for ph, x := range l.p.phases {
		var all []edit
		for _, r := range x.author {
			e, ok := l.edit(r)
			if !ok {
				continue
			}
			for _, o := range all {
				if o.name != e.name || o.value == e.value || l.exclude(o.rule, r) {
					continue
				}
				at := fmt.Sprintf("%s:%d", o.rule.Location.File, o.rule.Location.Row)
				advice := "write one rule whose value depends on the condition, or conditions that exclude each other"
				if o.rule.Body.Equal(r.Body) {
					l.errors = append(l.errors, problemAt(r.Location, "header_conflict", advice,
						fmt.Sprintf("%s disagrees with %s, whenever they hold: each such request of phase %s is refused with header_conflict", e.name, at, ph)))
				} else {
					l.warn(r.Location, "header_conflict", advice, "%s disagrees with %s: a request for which both hold is refused with header_conflict", e.name, at)
				}
			}
			all = append(all, e)
		}
	}
}

func (l *lint) edit(r *ast.Rule) (edit, bool) {
	verb := r.Head.Name.String()
	if verb != "set_headers" && verb != "remove_headers" || r.Head.Key == nil {
		return edit{}, false
	}
	key := l.stands(r, r.Head.Key)
	if s, ok := key.Value.(ast.String); ok && verb == "remove_headers" {
		return edit{r, textproto.CanonicalMIMEHeaderKey(string(s)), ""}, true
	}
	o, ok := key.Value.(ast.Object)
	if !ok {
		return edit{}, false
	}
	field := "name"
	if verb == "remove_headers" {
		field = "text"
	}
	n := o.Get(ast.StringTerm(field))
	if n == nil {
		return edit{}, false
	}
	s, ok := l.stands(r, n).Value.(ast.String)
	if !ok {
		return edit{}, false
	}
	out := edit{r, textproto.CanonicalMIMEHeaderKey(string(s)), ""}
	if v := o.Get(ast.StringTerm("value")); v != nil {
		out.value = l.stands(r, v).String()
	}
	return out, true
}

// exclude reports whether two rules cannot hold together, since they want
// different values of one part of the input.
func (l *lint) exclude(a, b *ast.Rule) bool {
	said := map[string][]string{}
	for _, e := range a.Body {
		if s, vs := l.comparison(a, e); s != "" && !e.Negated {
			said[s] = vs
		}
	}
	for _, e := range b.Body {
		s, vs := l.comparison(b, e)
		old, both := said[s]
		if s == "" || !both || e.Negated {
			continue
		}
		meet := false
		for _, v := range vs {
			for _, o := range old {
				meet = meet || v == o
			}
		}
		if !meet {
			return true
		}
	}
	return false
}
