package learn

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport/policy/rego"
)

// Files are the policy of what was seen, by name, formatted, with tests. They are the
// same for the same log.
func (l *Learnt) Files() (map[string][]byte, error) {
	out := map[string][]byte{}
	kinds := map[string]bool{}
	if len(l.http) > 0 {
		var rules, tests module
		l.egress(&rules, &tests, kinds)
		out["egress.rego"], out["egress_test.rego"] = rules.Bytes(), tests.Bytes()
	}
	if len(l.opaque) > 0 {
		var rules, tests module
		l.connect(&rules, &tests)
		out["connect.rego"], out["connect_test.rego"] = rules.Bytes(), tests.Bytes()
	}
	if len(l.questions) > 0 {
		var rules, tests module
		l.dns(&rules, &tests)
		out["dns.rego"], out["dns_test.rego"] = rules.Bytes(), tests.Bytes()
	}
	if len(kinds) > 0 {
		out["lib/learnt.rego"] = helpers(kinds)
	}
	for name, text := range out {
		f, err := rego.Formatted(name, text)
		if err != nil {
			return nil, fmt.Errorf("what was learnt cannot be written: %w", err)
		}
		out[name] = f
	}
	return out, nil
}

// A module is text of Rego. What comes from a log gets into it through quoted alone.
type module struct{ bytes.Buffer }

func (m *module) line(format string, a ...any) { fmt.Fprintf(m, format+"\n", a...) }

// rule writes one with the conditions of its body.
func (m *module) rule(head string, body ...string) {
	m.line("%s if {\n\t%s\n}\n", head, strings.Join(body, "\n\t"))
}

// quoted is a text as Rego has it, which is as JSON has it: on one line, whatever is in
// it.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// among is a comparison with one text, or with several.
func among(ref string, vs []string) string {
	var out []string
	for _, v := range vs {
		out = append(out, quoted(v))
	}
	if len(out) == 1 {
		return ref + " == " + out[0]
	}
	return ref + " in {" + strings.Join(out, ", ") + "}"
}

// conditions are those of an endpoint; field is what its scheme is in the input.
func (e endpoint) conditions(field string) []string {
	return []string{"input.destination.host == " + quoted(e.host), fmt.Sprintf("input.destination.port == %d", e.port), "input.destination." + field + " == " + quoted(e.scheme)}
}

// String is an endpoint for a comment: on one line, whatever is in it.
func (e endpoint) String() string {
	return strings.Trim(quoted(fmt.Sprintf("%s://%s:%d", e.scheme, e.host, e.port)), `"`)
}

func endpoints[V any](m map[endpoint]V) []endpoint {
	return slices.SortedFunc(maps.Keys(m), func(a, b endpoint) int {
		return cmp.Or(strings.Compare(a.host, b.host), cmp.Compare(a.port, b.port), strings.Compare(a.scheme, b.scheme))
	})
}

// counted is a number and what it is of.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s + " " + what + "s"
}

func (l *Learnt) connect(rules, tests *module) {
	rules.line("# Connections that were seen to be carried unread.\npackage egress.connect\n\nopaque if allow\n")
	tests.line("package egress.connect_test\n\nimport data.sallyport\n")
	t := table{decision: "sallyport.connect.decision"}
	for _, e := range endpoints(l.opaque) {
		rules.line("# %s: %s.", e, counted(l.opaque[e], "connection"))
		rules.rule("allow", e.conditions("protocol")...)
		input := func(host, port string) string {
			return fmt.Sprintf(`{"destination": {"host": %s, "port": %s, "protocol": %s}}`, quoted(host), port, quoted(e.scheme))
		}
		t.seen(e.String(), input(e.host, fmt.Sprint(e.port)))
		t.other(e.String()+", another host", input(l.unseen(), fmt.Sprint(e.port)))
	}
	t.write(tests)
}

func (l *Learnt) dns(rules, tests *module) {
	rules.line("# Questions that name servers were asked.\npackage egress.dns\n")
	tests.line("package egress.dns_test\n\nimport data.sallyport\n")
	t := table{decision: "sallyport.dns.decision"}
	for _, kind := range slices.Sorted(maps.Keys(l.questions)) {
		of := l.questions[kind]
		n := 0
		for _, k := range of {
			n += k
		}
		names := slices.Sorted(maps.Keys(of))
		rules.line("# %s of %s.", counted(n, "question"), counted(len(names), "name"))
		rules.rule("allow", "input.question.type == "+quoted(kind), among("input.question.name", names))
		input := func(name string) string {
			return fmt.Sprintf(`{"question": {"name": %s, "type": %s}}`, quoted(name), quoted(kind))
		}
		t.seen(kind+" "+names[0], input(names[0]))
		t.other(kind+" of another name", input(l.unseen()))
	}
	t.write(tests)
}

// unseen is a host that is not in the log.
func (l *Learnt) unseen() string {
	taken := func(h string) bool {
		for _, of := range l.questions {
			if of[h] > 0 {
				return true
			}
		}
		same := func(e endpoint) bool { return e.host == h }
		return slices.ContainsFunc(endpoints(l.http), same) || slices.ContainsFunc(endpoints(l.opaque), same)
	}
	h := "not-seen.invalid"
	for taken(h) {
		h = "x" + h
	}
	return h
}

// helpers are rules about segments that stand for others.
func helpers(kinds map[string]bool) []byte {
	var m module
	m.line("# What segments of a path are that stand for others of their kind.\npackage lib.learnt\n")
	if kinds[number] {
		m.rule("number(s)", `s != ""`, `trim(s, "0123456789") == ""`)
	}
	if kinds[uuid] {
		m.rule("uuid(s)", "[count(x) | some x in split(s, \"-\")] == [8, 4, 4, 4, 12]", `trim(replace(s, "-", ""), "0123456789abcdefABCDEF") == ""`)
	}
	if kinds[hexId] {
		m.rule("hex_id(s)", "count(s) >= 16", `trim(s, "0123456789abcdefABCDEF") == ""`)
	}
	return m.Bytes()
}

// A table is cases of tests, of which there are no more than anybody reads.
type table struct {
	decision string
	yes, no  []string
	names    map[string]bool
}

const maxCases = 400

func (t *table) seen(name, input string)  { t.add(&t.yes, name, input) }
func (t *table) other(name, input string) { t.add(&t.no, name, input) }

func (t *table) add(to *[]string, name, input string) {
	if t.names == nil {
		t.names = map[string]bool{}
	}
	if len(*to) >= maxCases || t.names[name] {
		return
	}
	t.names[name] = true
	*to = append(*to, fmt.Sprintf("\t%s: %s,", quoted(name), input))
}

func (t *table) write(m *module) {
	for _, x := range []struct {
		name, doc, allow string
		cases            []string
	}{{"seen", "What was seen is allowed.", "true", t.yes}, {"other", "What is next to it is not.", "false", t.no}} {
		if len(x.cases) == 0 {
			continue
		}
		m.line("%s := {\n%s\n}\n", x.name, strings.Join(x.cases, "\n"))
		m.line("# %s\ntest_%s[name] if {\n\tsome name, asked in %s\n\td := %s with input as asked\n\td.allow == %s\n}\n", x.doc, x.name, x.name, t.decision, x.allow)
	}
}
