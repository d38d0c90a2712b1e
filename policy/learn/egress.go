package learn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// egress writes the rules about requests, host by host.
func (l *Learnt) egress(rules, tests *module, kinds map[string]bool) {
	var m module
	t := table{decision: "sallyport.egress.decision"}
	for _, e := range endpoints(l.http) {
		s := l.http[e]
		keys := slices.Sorted(maps.Keys(s.shapes))
		for _, k := range keys {
			n := s.shapes[k]
			n.settle()
			for _, x := range n.parts {
				if x.kind != "" {
					kinds[x.kind] = true
				}
			}
		}
		m.line("# %s: %s.", e, counted(s.n, "request"))
		if s.depth >= 0 && s.paths != None {
			m.line("# There were too many paths to name: what is below the first %s is allowed.", counted(s.depth, "segment"))
		}
		s.allow(&m, e, keys)
		s.websocket(&m, e, keys)
		s.credentials(&m, e, keys)
		l.cases(&t, e, s, keys)
	}
	rules.line("# Requests that were seen to be allowed. Queries, header fields and bodies are not looked at.\npackage egress\n")
	if len(kinds) > 0 {
		rules.line("import data.lib.learnt\n")
	}
	_, _ = rules.Write(m.Bytes())
	tests.line("package egress_test\n\nimport data.sallyport\n")
	t.write(tests)
}

// allow writes what requests are allowed: paths of the same methods together.
func (s *site) allow(m *module, e endpoint, keys []string) {
	by := map[string][]*shape{}
	verbs := map[string][]string{}
	for _, k := range keys {
		var ms []string
		for _, v := range slices.Sorted(maps.Keys(s.shapes[k].methods)) {
			if u := s.shapes[k].methods[v]; u.n > u.sockets {
				ms = append(ms, v)
			}
		}
		if len(ms) > 0 {
			of := strings.Join(ms, "\x00")
			by[of], verbs[of] = append(by[of], s.shapes[k]), ms
		}
	}
	for _, of := range slices.Sorted(maps.Keys(by)) {
		for _, where := range places(by[of]) {
			m.rule("allow", slices.Concat(e.conditions("scheme"), []string{among("input.request.method", verbs[of])}, where)...)
		}
	}
}

// websocket writes what may become one: the request for it, and what it becomes.
func (s *site) websocket(m *module, e endpoint, keys []string) {
	var all []*shape
	for _, k := range keys {
		if s.shapes[k].sockets > 0 {
			all = append(all, s.shapes[k])
		}
	}
	for _, where := range places(all) {
		body := slices.Concat(e.conditions("scheme"), []string{`input.request.method == "GET"`}, where)
		m.rule("allow", append(slices.Clone(body), `input.destination.protocol == "websocket"`)...)
		m.rule("websocket", body...)
	}
}

// credentials writes which are asked for: of the whole endpoint when each of its
// requests had one, of some paths otherwise.
func (s *site) credentials(m *module, e endpoint, keys []string) {
	total := map[string]int{}
	for _, k := range keys {
		for _, u := range s.shapes[k].methods {
			for c, n := range u.credentials {
				total[c] += n
			}
		}
	}
	for _, c := range slices.Sorted(maps.Keys(total)) {
		head := "credentials contains " + quoted(c)
		if total[c] == s.n {
			m.rule(head, e.conditions("scheme")...)
			continue
		}
		for _, k := range keys {
			n := s.shapes[k]
			var ms []string
			for _, v := range slices.Sorted(maps.Keys(n.methods)) {
				if n.methods[v].credentials[c] > 0 {
					ms = append(ms, v)
				}
			}
			if len(ms) > 0 {
				m.rule(head, slices.Concat(e.conditions("scheme"), []string{among("input.request.method", ms)}, n.conditions())...)
			}
		}
	}
}

// places are the conditions of shapes: of those that are one path, together.
func places(of []*shape) (out [][]string) {
	var paths []string
	for _, n := range of {
		if n.plain() {
			paths = append(paths, n.path)
		} else {
			out = append(out, n.conditions())
		}
	}
	if len(paths) > 0 {
		slices.Sort(paths)
		out = append([][]string{{among("input.request.path", paths)}}, out...)
	}
	return out
}

// conditions are those of a path.
func (n *shape) conditions() (out []string) {
	if n.plain() {
		return []string{"input.request.path == " + quoted(n.path)}
	}
	if n.rest {
		for i, x := range n.parts {
			ref := fmt.Sprintf("input.request.segments[%d]", i)
			if x.kind == "" {
				out = append(out, ref+" == "+quoted(x.first))
			} else {
				out = append(out, "learnt."+x.kind+"("+ref+")")
			}
		}
		return out
	}
	var parts, kinds []string
	for i, x := range n.parts {
		if x.kind == "" {
			parts = append(parts, quoted(x.first))
			continue
		}
		v := fmt.Sprintf("s%d", i)
		parts = append(parts, v)
		kinds = append(kinds, "learnt."+x.kind+"("+v+")")
	}
	return append([]string{"[" + strings.Join(parts, ", ") + "] = input.request.segments"}, kinds...)
}

// cases are what the tests ask: each shape as it was seen first, and what is next to it.
func (l *Learnt) cases(t *table, e endpoint, s *site, keys []string) {
	any, last := false, ""
	for _, k := range keys {
		n := s.shapes[k]
		any = any || n.rest && len(n.parts) == 0
		for _, v := range slices.Sorted(maps.Keys(n.methods)) {
			protocol := "http/1.1"
			if u := n.methods[v]; u.n == u.sockets {
				protocol = "websocket"
			}
			t.seen(v+" "+e.String()+n.path, e.input(e.host, protocol, v, n.path, n.decoded))
			last = v
		}
	}
	first := s.shapes[keys[0]]
	t.other("another host than "+e.String(), e.input(l.unseen(), "http/1.1", last, first.path, first.decoded))
	verb := "NOT-SEEN"
	for slices.ContainsFunc(keys, func(k string) bool { return s.shapes[k].methods[verb] != nil }) {
		verb += "-"
	}
	t.other("another method at "+e.String(), e.input(e.host, "http/1.1", verb, first.path, first.decoded))
	if any {
		return
	}
	name := "not-seen"
	for slices.ContainsFunc(keys, func(k string) bool { return s.shapes[k].decoded[0] == name }) {
		name += "-"
	}
	t.other("another path at "+e.String(), e.input(e.host, "http/1.1", last, "/"+name, []string{name}))
}

func (e endpoint) input(host, protocol, method, path string, segments []string) string {
	var list []string
	for _, s := range segments {
		list = append(list, quoted(s))
	}
	return fmt.Sprintf(`{"destination": {"host": %s, "port": %d, "scheme": %s, "protocol": %s}, "request": {"method": %s, "path": %s, "segments": [%s]}}`,
		quoted(host), e.port, quoted(e.scheme), quoted(protocol), quoted(method), quoted(path), strings.Join(list, ", "))
}
