package rego

import (
	"fmt"
	"regexp/syntax"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// hosts warns of names that are matched by an accident of their spelling: what
// holds for example.com and for evilexample.com too.
func (l *lint) hosts() {
	l.each(func(r *ast.Rule, e *ast.Expr) {
		if !e.IsCall() || len(e.Operands()) < 2 {
			return
		}
		op, a, b := e.Operator().String(), e.Operand(0), e.Operand(1)
		switch { // where the pattern comes first
		case op == "regex.match":
			a, b = e.Operand(1), a
		case op == "glob.match" && len(e.Operands()) > 2:
			a, b = e.Operand(2), a
		}
		host, ok := l.host(r, a)
		if !ok {
			return
		}
		if strings.HasPrefix(host, "input.destination.host_suffixes") {
			host = "input.destination.host"
		}
		for _, s := range l.texts(r, b) {
			evil, advice := accident(op, host, s)
			if evil != "" {
				l.warn(e.Location, "host_accident", advice, "%s(%s, %q) holds for %s too", op, host, s, evil)
			}
		}
	})
}

// accident returns a host for which a test holds and likely should not, and what
// to write instead.
func accident(op, host, s string) (evil, advice string) {
	name := strings.Trim(s, ".")
	suffixes := host + "_suffixes"
	if !strings.HasSuffix(host, ".host") && !strings.HasSuffix(host, ".name") || strings.Contains(host, "authority") {
		suffixes = "input.destination.host_suffixes"
	}
	below := fmt.Sprintf("write `%q in %s`, which goes by whole labels: %s and what is below it", name, suffixes, name)
	switch op {
	case "endswith", "strings.any_suffix_match":
		if !strings.HasPrefix(s, ".") {
			return "evil" + s, below
		}
	case "startswith", "strings.any_prefix_match":
		whole := s
		if strings.HasSuffix(s, ".") {
			whole += "example.com"
		}
		return name + ".evil.example", fmt.Sprintf("name the whole host: `%s == %q`, or a set of them: `%s in {…}`", host, whole, host)
	case "contains":
		return name + ".evil.example", below
	case "glob.match":
		if strings.HasPrefix(s, "*") && !strings.HasPrefix(s, "*.") && !strings.HasPrefix(s, "**.") {
			n := strings.TrimLeft(s, "*.")
			return "evil" + n, fmt.Sprintf("write `%q in %s`", n, suffixes)
		}
		if strings.HasSuffix(s, "*") {
			return strings.TrimRight(s, "*") + "evil.example", fmt.Sprintf("name the whole host: `%s == …`", host)
		}
	case "regex.match":
		re, err := syntax.Parse(s, syntax.Perl)
		if err != nil {
			return "", ""
		}
		advice = fmt.Sprintf("write `%s == …`, `… in %s`, or begin the pattern with ^, end it with $ and write dots as \\\\.", host, suffixes)
		bare := strings.NewReplacer(`\.`, ".", "^", "", "$", "").Replace(s)
		switch first, last := anchors(re); {
		case !last:
			return bare + ".evil.example", advice
		case !first:
			return "evil" + bare, advice
		case looseDot(re):
			return "names that have any character in place of a dot", advice
		}
	}
	return "", ""
}

// anchors reports whether what matches a pattern begins, and ends, where it does.
func anchors(re *syntax.Regexp) (first, last bool) {
	switch re.Op {
	case syntax.OpBeginText:
		return true, false
	case syntax.OpEndText:
		return false, true
	case syntax.OpCapture:
		return anchors(re.Sub[0])
	case syntax.OpConcat:
		first, _ = anchors(re.Sub[0])
		_, last = anchors(re.Sub[len(re.Sub)-1])
		return first, last
	case syntax.OpAlternate:
		first, last = true, true
		for _, s := range re.Sub {
			f, t := anchors(s)
			first, last = first && f, last && t
		}
		return first, last
	}
	return false, false
}

// looseDot reports whether a dot stands where one of a name was meant: alone,
// between other characters.
func looseDot(re *syntax.Regexp) bool {
	if re.Op == syntax.OpAnyCharNotNL || re.Op == syntax.OpAnyChar {
		return true
	}
	switch re.Op {
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		return false
	}
	for _, s := range re.Sub {
		if looseDot(s) {
			return true
		}
	}
	return false
}
