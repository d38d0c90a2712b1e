package rego

import (
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
)

// relayed are the hosts of sallyport.packs.relays, with what they do.
var relayed = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	s, err := library()
	if err != nil {
		return out
	}
	for file, text := range s["sallyport.packs.relays"] {
		m, err := ast.ParseModuleWithOpts(file, text, ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			continue
		}
		for _, r := range m.Rules {
			o, ok := r.Head.Value.Value.(ast.Object)
			if !ok || r.Head.Name.String() != "hosts" {
				continue
			}
			o.Foreach(func(k, v *ast.Term) {
				host, _ := k.Value.(ast.String)
				does, _ := v.Value.(ast.String)
				out[string(host)] = string(does)
			})
		}
	}
	return out
})

// relay returns what a host does for whoever it is allowed to, or "".
func relay(host string) string {
	known := relayed()
	if does := known[host]; does != "" {
		return does
	}
	for rest := host; ; {
		_, after, more := strings.Cut(rest, ".")
		if !more {
			return ""
		}
		if does := known["*."+after]; does != "" {
			return does
		}
		rest = after
	}
}

// relays warns of rules that allow a service that carries on to others what is sent
// to it.
func (l *lint) relays() {
	reported := map[string]bool{}
	say := func(at *ast.Location, s string) {
		if does := relay(s); does != "" && !reported[s] {
			reported[s] = true
			l.warn(at, "open_relay", "leave it out, or allow the one path of it that is needed; `import data.sallyport.guards.relays` denies all such hosts", "%s %s: whoever may reach it reaches others by it", s, does)
		}
	}
	l.each(func(r *ast.Rule, e *ast.Expr) {
		if r.Head.Name.String() == "deny" || e.Negated || !e.IsCall() {
			return
		}
		switch op := e.Operator(); {
		case op.HasPrefix(dataRef("sallyport", "lib")):
			if slices.Contains([]string{"host_in", "host_within"}, strings.Trim(op[len(op)-1].String(), `"`)) {
				for _, s := range l.entries(r, e.Operand(0)) {
					say(e.Location, s)
				}
			}
		case e.IsEquality(), slices.Contains([]string{"equal", "internal.member_2"}, op.String()):
			for i, t := range e.Operands()[:2] {
				for _, ref := range l.paths(r, t) {
					if s := ref.String(); s == "input.destination.host" || strings.HasPrefix(s, "input.destination.host_suffixes") {
						for _, s := range l.texts(r, e.Operand(1-i)) {
							say(e.Location, s)
						}
					}
				}
			}
		}
	})
	for _, r := range l.rules { // and where data that is looked up by host has one
		ast.WalkRefs(r, func(ref ast.Ref) bool {
			if r.Head.Name.String() == "deny" || len(ref) < 3 || !ref[0].Equal(ast.DefaultRootDocument) || len(l.paths(r, ref[len(ref)-1])) == 0 {
				return false
			}
			for _, s := range l.entries(r, ast.NewTerm(ref[:len(ref)-1])) {
				say(r.Location, s)
			}
			return false
		})
	}
}
