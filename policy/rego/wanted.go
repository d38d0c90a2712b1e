package rego

import "github.com/open-policy-agent/opa/v1/ast"

// Of a wanted thing all can be read, or what is below it by name. The nil *wanted is
// wanted by nobody.
type wanted struct {
	all   bool
	below map[string]*wanted
}

// wantedOf is what references to the input can read. A list that one reads an
// element of is wanted as a whole.
func wantedOf(reads []ast.Ref) *wanted {
	root := &wanted{}
	for _, r := range reads {
		at := root
		for _, t := range r[1:] {
			name, ok := t.Value.(ast.String)
			if !ok || at.all {
				break
			}
			if at.below == nil {
				at.below = map[string]*wanted{}
			}
			if at.below[string(name)] == nil {
				at.below[string(name)] = &wanted{}
			}
			at = at.below[string(name)]
		}
		at.all, at.below = true, nil
	}
	return root
}

func (w *wanted) at(name string) *wanted {
	if w == nil || w.all {
		return w
	}
	return w.below[name]
}
