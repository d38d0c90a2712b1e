package rego

import (
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// A remedy is what to write instead, known by what the compiler says. In the
// advice, $1 and the like stand for what of the message was matched.
type remedy struct {
	says   *regexp.Regexp
	advice string
}

var remedies = []remedy{
	{says(`^undefined function (http\.send|net\..*|opa\.runtime|rand\..*|uuid\..*|io\.jwt\.encode.*|json\.(match|verify)_schema)`), "a policy reaches no network, host or chance: put what $1 would find into data.json beside the policy, or into the sandbox's props and read input.sandbox.props.NAME"},
	{says(`^rule data\.(\S+) is recursive`), "no rule may need itself: write into $1 what is to hold, from the input. For lists of any length there are input.destination.host_suffixes, input.request.segments and walk()"},
	{says(`match error; left  : number; right : string`), "compare a number with a number, without quotes: input.destination.port == 443"},
	{says(`match error; left  : string; right : number`), "compare a text with a text, in quotes"},
	{says(`match error; left  : array.*right : string`), "values are lists: write \"text\" in LIST, or LIST[0] == \"text\""},
	{says(`match error`), "compare values of one type"},
	{says(`assigned var (\S+) unused`), "use $1, or leave the assignment out"},
	{says(`^import (\S+) unused`), "leave the line out"},
	{says(`^var (\S+) is unsafe`), "nothing gives $1 a value: write `$1 := …` or `some $1 in …` before, or put a text into quotes"},
	{says(`^package expected`), "begin the file with `package egress`"},
	{says(`non-terminated string`), "end the text with a quote on the same line"},
	{says(`arity mismatch`), "give it the arguments that it wants"},
	{says(`requires_props must not read the input`), "write the name of the property: requires_props contains \"tenant_id\""},
	{says(`a verb can have no default but false`), "leave the line out: what no rule allows is refused"},
	{says(`must be true or undefined`), "write `allow if { … }`: true when all of the lines hold, undefined otherwise"},
}

func says(s string) *regexp.Regexp { return regexp.MustCompile(s) }

var (
	quoted     = regexp.MustCompile(`'([^']*)'`)
	noVerb     = regexp.MustCompile(`^rule (\S+) is no verb`)
	mustBeSet  = regexp.MustCompile(`^(\S+) must be a set`)
	undefined  = regexp.MustCompile(`^undefined function (\S+)`)
	notIn      = regexp.MustCompile(`there is no (input\.[a-z_]+)|(input\.[a-z_]+)\S* is not in the input`)
	unitedHead = regexp.MustCompile(`^(\s*)([a-z_]+)\s*(?::?=\s*true\s*)?\{`)
	setHead    = regexp.MustCompile(`^(\s*)([a-z_]+)\[(.+?)\]\s*(if\s*)?\{?`)
	noPhase    = regexp.MustCompile(`^data\.(\S+) is not a phase`)
)

// advise returns what to write instead, or "" when it is not known. pkg is the
// package of the file.
func advise(p Problem, pkg string) string {
	line := strings.TrimSpace(p.Line)
	switch m := p.Message; {
	case strings.Contains(m, "`if` keyword is required") || strings.Contains(m, "`contains` keyword is required"):
		return modern(line)
	case noVerb.MatchString(m):
		name := noVerb.FindStringSubmatch(m)[1]
		known := verbsOf(pkg)
		if best := nearest(name[strings.LastIndexByte(name, '.')+1:], known); best != "" {
			return "write `" + strings.Replace(line, name[strings.LastIndexByte(name, '.')+1:], best, 1) + "`"
		}
		return "the verbs are " + strings.Join(known, ", ") + "; a helper has to be used by a rule that is one"
	case mustBeSet.MatchString(m):
		verb := mustBeSet.FindStringSubmatch(m)[1]
		if head := setHead.FindStringSubmatch(line); head != nil && head[2] == verb {
			return modern(line)
		}
		if rest, ok := strings.CutPrefix(line, verb+" if "); ok && verb == "deny" {
			return "write `deny contains \"a_code\" if " + rest + "`; the code says why, and the client reads it"
		}
		return "write `" + verb + " contains … if { … }`"
	case notIn.MatchString(m):
		if a := otherPhase(notIn.FindStringSubmatch(m), pkg); a != "" {
			return a
		}
	case noPhase.MatchString(m):
		name := noPhase.FindStringSubmatch(m)[1]
		if best := nearest(name, packages()); best != "" {
			return "write `package " + best + "`"
		}
		return "move helpers into `package lib`"
	case strings.Contains(line, "||"):
		return "write two rules with the same head: it is enough that one holds"
	case strings.Contains(line, "&&") || strings.Contains(m, "cannot be used for rule name") && strings.Contains(line, " and "):
		return "write each condition on a line of its own between { and }: all have to hold"
	case strings.Contains(m, "cannot be used for rule name") && strings.Contains(line, " or "):
		return "write two rules with the same head: it is enough that one holds"
	case strings.Contains(m, "illegal token") && quoted.MatchString(line):
		return "write texts in double quotes: " + quoted.ReplaceAllString(line, `"$1"`)
	}
	for _, r := range remedies {
		if at := r.says.FindStringSubmatchIndex(p.Message); at != nil {
			return string(r.says.ExpandString(nil, r.advice, p.Message, at))
		}
	}
	if m := undefined.FindStringSubmatch(p.Message); m != nil {
		if best := nearest(m[1], builtins()); best != "" {
			return "write " + best
		}
		return "there is no such builtin: write a rule of that name, or import the package that has it"
	}
	return ""
}

// modern writes the head of a rule of Rego v0 as it is now.
func modern(line string) string {
	if m := setHead.FindStringSubmatch(line); m != nil {
		return "write `" + m[2] + " contains " + m[3] + " if {`: Rego is version 1 here"
	}
	if m := unitedHead.FindStringSubmatch(line); m != nil {
		return "write `" + m[2] + " if {`: Rego is version 1 here"
	}
	return "write `if` before the body: Rego is version 1 here"
}

// otherPhase says where a part of the input is that this phase does not have.
func otherPhase(m []string, pkg string) string {
	part := strings.TrimPrefix(m[1]+m[2], "input.")
	var have []string
	for _, ph := range order {
		props, _ := schemas[ph]["properties"].(map[string]any)
		if _, ok := props[part]; !ok {
			continue
		}
		name := strings.TrimPrefix(packageOf(ph).String(), "data.")
		if name == pkg {
			return ""
		}
		have = append(have, name)
	}
	if len(have) == 0 {
		return ""
	}
	return "write it into a file with `package " + have[0] + "`, which has input." + part + "; " + pkg + " is asked without it"
}

func verbsOf(pkg string) (out []string) {
	for v := range verbs[phaseOf(pkgRef(pkg))] {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

func pkgRef(pkg string) ast.Ref { return dataRef(strings.Split(pkg, ".")...) }

func packages() (out []string) {
	for _, ph := range order {
		out = append(out, strings.TrimPrefix(packageOf(policy.Phase(ph)).String(), "data."))
	}
	return out
}

func builtins() (out []string) {
	for _, b := range capabilities().Builtins {
		out = append(out, b.Name)
	}
	return out
}

// nearest is the known name that a misspelt one is likely to be, or "".
func nearest(wrong string, known []string) string {
	best, far := "", 3
	for _, k := range known {
		if n := levenshtein.ComputeDistance(wrong, k); n < far && n < len(wrong) {
			best, far = k, n
		}
	}
	return best
}
