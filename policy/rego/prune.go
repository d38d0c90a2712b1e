package rego

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// prune takes verbs out of the composed decisions that neither a rule nor data of
// the policy has: evaluation would find out each time that there is nothing. A verb
// that is not there decodes as one that is empty. Sets that rules make element by
// element are taken as they are, since they are never undefined.
func prune(composing map[string]*ast.Module, src *source) {
	if _, data := src.data["egress"]; data {
		return
	}
	has, whole := map[policy.Phase]map[string]bool{}, map[policy.Phase]map[string]bool{}
	for _, m := range src.modules {
		ph := phaseOf(m.Package.Path)
		if has[ph] == nil {
			has[ph], whole[ph] = map[string]bool{}, map[string]bool{}
		}
		for _, r := range m.Rules {
			verb := r.Head.Ref()[0].Value.String()
			has[ph][verb] = true
			whole[ph][verb] = whole[ph][verb] || r.Default || len(r.Head.Ref()) != 1 || r.Head.RuleKind() != ast.MultiValue
		}
	}
	for _, m := range composing {
		for ph := range verbs {
			if !m.Package.Path.Equal(entryOf(ph)[:len(entryOf(ph))-1]) {
				continue
			}
			for _, r := range m.Rules {
				o, ok := r.Head.Value.Value.(ast.Object)
				if !ok || r.Head.Ref()[0].Value.String() != "decision" {
					continue
				}
				kept := ast.NewObject()
				o.Foreach(func(k, v *ast.Term) {
					verb, ok := k.Value.(ast.String)
					if _, set := v.Value.(*ast.SetComprehension); set && !whole[ph][string(verb)] {
						v = ast.NewTerm(packageOf(ph).Append(k))
					}
					if !ok || has[ph][string(verb)] {
						kept.Insert(k, v)
					}
				})
				r.Head.Value.Value = kept
			}
		}
	}
}
