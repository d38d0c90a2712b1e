package rego

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// A Report is what there is to say about a policy before anybody uses it.
type Report struct {
	Policy      string        `json:"policy"`
	OK          bool          `json:"ok"` // the proxy would take it
	Digest      string        `json:"digest,omitempty"`
	Revision    string        `json:"revision,omitempty"` // of the manifest
	Errors      []Problem     `json:"errors"`
	Warnings    []Problem     `json:"warnings"`
	Phases      []PhaseReport `json:"phases"` // with rules, in the order in which they are asked
	Requires    []string      `json:"requires_props"`
	Credentials []string      `json:"credentials"`
}

// A PhaseReport is what a compiled phase can read, and whether its decisions are
// kept. Uncached says why they are not.
type PhaseReport struct {
	Phase    policy.Phase `json:"phase"`
	Package  string       `json:"package"`
	Rules    int          `json:"rules"`
	Reads    []string     `json:"reads"`
	Cached   bool         `json:"cached"`
	Uncached string       `json:"uncached,omitempty"`
}

// order is that in which phases are asked.
var order = []policy.Phase{policy.Connect, policy.Request, policy.DNS, policy.Dial, policy.Response, policy.Message}

// Check compiles a policy as strictly as the proxy does, and its tests too.
func Check(dir string) []Problem { return Inspect(context.Background(), dir).Errors }

// Inspect compiles a policy as Check does, and says what is likely not meant,
// what its habits cost, what it reads and which decisions are kept.
func Inspect(ctx context.Context, dir string) *Report {
	o := Options{Name: dir, Dir: dir}
	r := &Report{Policy: dir, Errors: []Problem{}, Warnings: []Problem{}, Phases: []PhaseReport{}, Requires: []string{}, Credentials: []string{}}
	p, err := Load(ctx, o)
	var src *source
	if err == nil {
		src, _, err = withTests(o)
	}
	if err != nil {
		var le *LoadError
		if errors.As(err, &le) {
			r.Errors = le.Problems
			illustrate(r.Errors, le.text)
		} else {
			r.Errors = []Problem{{Message: err.Error()}}
		}
		return r
	}
	l := newLint(p, src)
	l.hosts()
	l.values()
	l.dead()
	l.costs()
	l.edits()
	l.absent()
	l.borrowedCalls()
	l.relays()
	r.Errors, r.Warnings = append(r.Errors, l.errors...), append(r.Warnings, l.warnings...)
	illustrate(r.Errors, src.text)
	illustrate(r.Warnings, src.text)
	r.OK, r.Digest, r.Revision = len(r.Errors) == 0, p.digest, p.revision
	r.Requires, r.Credentials = append(r.Requires, p.RequiresProps()...), append(r.Credentials, p.Credentials()...)
	for _, ph := range order {
		x := p.phases[ph]
		if x == nil || !x.has {
			continue
		}
		pr := PhaseReport{Phase: ph, Package: strings.TrimPrefix(packageOf(ph).String(), "data."), Rules: len(x.author), Reads: []string{}, Cached: x.parts != nil}
		for _, ref := range x.reads {
			pr.Reads = append(pr.Reads, ref.String())
		}
		if !pr.Cached {
			pr.Uncached = p.uncached(ph, x)
		}
		r.Phases = append(r.Phases, pr)
	}
	return r
}

// uncached says why decisions of a phase are not kept, with the place.
func (p *Policy) uncached(ph policy.Phase, x *phase) string {
	if ph != policy.Request && ph != policy.Connect {
		return "each is asked about something new"
	}
	res := reach(p.compiler, x.entry)
	for r := range res.rules {
		var at *ast.Location
		ast.WalkExprs(r, func(e *ast.Expr) bool {
			ast.WalkRefs(e, func(ref ast.Ref) bool {
				if ref.Equal(now) {
					at = e.Location
				}
				return false
			})
			return false
		})
		if at != nil {
			return "time.now_ns is asked for at " + at.String()
		}
	}
	for _, rd := range res.reads {
		if len(rd.path) > 1 && partsOf(rd.path[1:]) == nil {
			return rd.path.String() + " is read at " + rd.at.String() + ", of which no key is made"
		}
	}
	return "no key can be made of what it reads"
}

// illustrate puts the line of the source beside each problem, and what to write
// instead where that is known. Files that are in a bundle are in text.
func illustrate(ps []Problem, text map[string][]byte) {
	files := map[string][]string{}
	for i := range ps {
		p := &ps[i]
		if p.File == "" || p.Row < 1 {
			continue
		}
		lines, known := files[p.File]
		if !known {
			b, packed := text[p.File]
			if !packed {
				b, _ = os.ReadFile(p.File)
			}
			if b != nil {
				lines = strings.Split(string(b), "\n")
			}
			files[p.File] = lines
		}
		if p.Row > len(lines) {
			continue
		}
		p.Line = strings.TrimSuffix(lines[p.Row-1], "\r")
		if p.Advice == "" {
			p.Advice = advise(*p, packageIn(lines))
		}
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Row != b.Row {
			return a.Row - b.Row
		}
		return a.Col - b.Col
	})
}

// packageIn is the package that lines declare.
func packageIn(lines []string) string {
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), "package "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// withTests compiles a policy's modules together with its tests.
func withTests(o Options) (*source, map[string]*ast.Module, error) {
	src, err := read(o)
	if err != nil {
		return nil, nil, err
	}
	all, err := composing()
	if err != nil {
		return nil, nil, err
	}
	if _, err := borrow(all, src.modules, src.tests); err != nil {
		return nil, nil, err
	}
	maps.Copy(all, src.modules)
	maps.Copy(all, src.tests)
	c := newCompiler()
	c.Compile(all)
	if c.Failed() {
		return nil, nil, problems(o.Name, c.Errors)
	}
	return src, all, nil
}
