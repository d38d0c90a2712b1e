package rego

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// A Kept is as much of the input of a question as a record has: facts, and of which
// parts it has all there was. What it does not have is not known, and so is what was
// taken out of it. The zero Kept knows nothing. It is for one goroutine.
type Kept struct {
	facts  map[string]any
	whole  wanted
	gone   []lack // what of that is not known all the same
	state  []lack // the same, for the policy that it was settled for last
	unsure []lack // what was not known when it was asked
	hidden bool   // so was GraphQL, without a body
}

// A lack is a part of the input, and why it is not there.
type lack struct {
	path []string
	why  string
}

// Why a fact is not known.
const (
	notRecorded = "not recorded"
	wasRedacted = "redacted"
)

// Recorded adds what a record has of the input of one policy, and pointers to what
// that could read, as Decision.Input and Decision.Reads are. It keeps in. Where reads
// is nil, of what is an object nobody knows whether it is all.
func (k *Kept) Recorded(in map[string]any, reads []string) error {
	k.redactions(in)
	if reads == nil {
		k.leaves(nil, in)
	}
	for _, p := range reads {
		path, ok := pathOf(p)
		if !ok {
			return fmt.Errorf("%q is no pointer", p)
		}
		k.whole.add(path...)
	}
	if k.facts == nil {
		k.facts = map[string]any{}
	}
	join(k.facts, in)
	return nil
}

// Knows adds a fact that the record has elsewhere; nil is that there is none. What
// the input itself says of it comes first.
func (k *Kept) Knows(v any, path ...string) {
	if k.whole.covers(path) || len(path) == 0 {
		return
	}
	if k.facts == nil {
		k.facts = map[string]any{}
	}
	at := k.facts
	for _, p := range path[:len(path)-1] {
		below, ok := at[p].(map[string]any)
		if !ok {
			if _, other := at[p]; other {
				return
			}
			below = map[string]any{}
			if v != nil {
				at[p] = below
			}
		}
		at = below
	}
	last := path[len(path)-1]
	old, there := at[last]
	a, ok1 := old.(map[string]any)
	b, ok2 := v.(map[string]any)
	switch {
	case !there && v != nil:
		at[last] = v
	case ok1 && ok2:
		join(a, b)
	}
	k.whole.add(path...)
}

// Get returns a fact that is known; nil is that there is none.
func (k *Kept) Get(path ...string) (any, bool) {
	if k.missing(path) != "" {
		return nil, false
	}
	var v any = k.facts
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, true
		}
		v = m[p]
	}
	return v, true
}

// leaves are what is known of an input of which nobody says what could be read.
func (k *Kept) leaves(at []string, in map[string]any) {
	for name, v := range in {
		path := append(slices.Clone(at), name)
		if m, ok := v.(map[string]any); ok {
			k.leaves(path, m)
		} else {
			k.whole.add(path...)
		}
	}
}

// redactions notes what project took out, and secrets that the log took out of a
// text. Fields and parameters are lists, so a text in the place of one is ours.
func (k *Kept) redactions(in map[string]any) {
	for _, part := range [...]string{"request", "response", "message"} {
		o, _ := in[part].(map[string]any)
		for name, v := range o {
			m, _ := v.(map[string]any)
			switch {
			case name == "graphql" && v == unknownGraphQL:
				k.hidden = true
				delete(o, name)
			case name == "body" || name == "form" || name == "multipart" || name == "rpc":
				k.gone = append(k.gone, lack{[]string{part, name}, wasRedacted})
			case m != nil && (name == "headers" || name == "query"):
				for f, v := range m {
					if _, text := v.(string); text {
						k.gone = append(k.gone, lack{[]string{part, name, f}, wasRedacted})
					}
				}
			}
		}
	}
	k.marked(nil, in)
}

// Marker stands in a record for a secret that was taken out of it.
const marker = "[REDACTED:"

func (k *Kept) marked(at []string, v any) {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, marker) {
			k.gone = append(k.gone, lack{slices.Clone(at), wasRedacted})
		}
	case []any:
		for _, e := range v {
			k.marked(at, e)
		}
	case map[string]any:
		for name, e := range v {
			if strings.Contains(name, marker) { // whatever it was called
				k.gone = append(k.gone, lack{slices.Clone(at), wasRedacted})
				continue
			}
			k.marked(append(slices.Clone(at), name), e)
		}
	}
}

// bodied are the parts of an input with a body, by phase.
var bodied = map[policy.Phase][]string{policy.Request: {"request"}, policy.Dial: {"request"}, policy.Response: {"request", "response"}, policy.Message: {"request", "message"}}

// bodies are what is read of a body, by part.
var bodies = map[string][]string{"request": {"body", "form", "multipart", "graphql", "rpc"}, "response": {"body"}, "message": {"body"}}

// settle notes which facts were uncertain when they were asked about, and which
// depend on whether bodies are read, in a phase.
func (k *Kept) settle(ph policy.Phase, reads func(part string) bool) {
	k.unsure, k.state = nil, nil
	for _, part := range bodied[ph] {
		o, _ := k.facts[part].(map[string]any)
		sized := o["size"] != nil
		state, _ := o["body_state"].(string)
		was := false
		none := state == string(policy.BodyNone)
		for _, view := range bodies[part] {
			_, there := o[view]
			read := k.whole.at(part).at(view) != nil // some of it
			was = was || read
			switch {
			case view == "graphql" && k.hidden && read: // it was in the query
				k.unsure = append(k.unsure, lack{path: []string{part, view}})
			case there, none:
			case read && state != "":
				k.unsure = append(k.unsure, lack{path: []string{part, view}})
			case read:
				k.state = append(k.state, lack{[]string{part, view}, notRecorded})
			}
		}
		if k.whole.covers([]string{part, "size"}) && !sized {
			k.unsure = append(k.unsure, lack{path: []string{part, "size"}})
		}
		if !none && was != reads(part) {
			k.state = append(k.state, lack{[]string{part, "body_state"}, notRecorded})
			if was || !sized {
				k.state = append(k.state, lack{[]string{part, "size"}, notRecorded})
			}
		}
	}
}

// missing is why not all that is at and below a path is known; "" when it is.
func (k *Kept) missing(path []string) string {
	for _, of := range [...][]lack{k.gone, k.state} {
		for _, l := range of {
			if beside(l.path, path) {
				return l.why
			}
		}
	}
	if !k.whole.covers(path) {
		return notRecorded
	}
	return ""
}

// uncertain reports whether something at and below a path was not known when it
// was asked about.
func (k *Kept) uncertain(path []string) bool {
	return slices.ContainsFunc(k.unsure, func(l lack) bool { return beside(l.path, path) })
}

// beside reports whether one path leads to the other, or they are the same.
func beside(a, b []string) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

// join puts what is in one object into another, which has the first word.
func join(to, from map[string]any) {
	for k, v := range from {
		old, there := to[k]
		a, ok1 := old.(map[string]any)
		b, ok2 := v.(map[string]any)
		switch {
		case !there:
			to[k] = v
		case ok1 && ok2:
			join(a, b)
		}
	}
}

// pathOf reads a JSON pointer: RFC 6901.
func pathOf(p string) ([]string, bool) {
	if p == "" {
		return nil, true
	}
	if p[0] != '/' {
		return nil, false
	}
	out := strings.Split(p[1:], "/")
	for i := range out {
		out[i] = unescapes.Replace(out[i])
	}
	return out, true
}

// stringsOf is a reference to the input without its first element, up to the first
// that is no text.
func stringsOf(r ast.Ref) (out []string) {
	for _, t := range r[1:] {
		s, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		out = append(out, string(s))
	}
	return out
}

// value is what there is, as OPA has it.
func (k *Kept) value() (ast.Value, error) {
	if k.facts == nil {
		return ast.NewObject(), nil
	}
	v, err := ast.InterfaceToValue(k.facts)
	if err != nil {
		return nil, errors.New("what is kept of the input cannot be one")
	}
	return v, nil
}
