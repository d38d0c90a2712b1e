package rego

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/lineage"
)

// TestOptions say which tests run. Run is a regular expression that data.PACKAGE.NAME
// has to match; "" runs all.
type TestOptions struct {
	Run      string
	Coverage bool
}

// A TestReport is what the tests of a policy came to.
type TestReport struct {
	Policy   string       `json:"policy"`
	Passed   int          `json:"passed"`
	Failed   int          `json:"failed"`
	Skipped  int          `json:"skipped"` // those whose names begin with todo_
	Tests    []TestResult `json:"tests"`   // in order of their places
	Coverage *Coverage    `json:"coverage,omitempty"`
}

// A TestResult is one test's. Cases are those of a table that failed.
type TestResult struct {
	Name    string   `json:"name"`
	Package string   `json:"package"`
	File    string   `json:"file"`
	Row     int      `json:"row"`
	Outcome string   `json:"outcome"` // pass, fail, skip
	Seconds float64  `json:"seconds"`
	Cases   []string `json:"failed_cases,omitempty"`
	Detail  string   `json:"detail,omitempty"` // the expressions that failed, with values
}

// A Coverage says which lines of a policy's own rules no test came to.
type Coverage struct {
	Percent   float64     `json:"percent"`
	Covered   int         `json:"covered_lines"`
	Lines     int         `json:"lines"`
	Uncovered []LineRange `json:"uncovered"`
}

// A LineRange is some lines of a file, both ends among them.
type LineRange struct {
	File  string `json:"file"`
	First int    `json:"first"`
	Last  int    `json:"last"`
}

// Test runs the tests of a policy, and writes what failed, where, and at which
// expression.
func Test(ctx context.Context, dir string, w io.Writer) (passed, failed int, err error) {
	r, err := RunTests(ctx, dir, TestOptions{})
	if err != nil {
		return 0, 0, err
	}
	r.WriteFailures(w)
	return r.Passed, r.Failed, nil
}

// RunTests runs the rules of a policy whose names begin with test_, in files that
// end in _test.rego.
func RunTests(ctx context.Context, dir string, o TestOptions) (*TestReport, error) {
	if _, err := regexp.Compile(o.Run); err != nil {
		return nil, fmt.Errorf("--run %q: %w", o.Run, err)
	}
	opts := Options{Name: dir, Dir: dir}
	if _, err := Load(ctx, opts); err != nil {
		return nil, err
	}
	src, all, err := withTests(opts)
	if err != nil {
		return nil, err
	}
	store := inmem.NewFromObject(src.data)
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return nil, err
	}
	out := &TestReport{Policy: dir, Tests: []TestResult{}}
	ch, err := runner(store, all, o).EnableTracing(true).RunTests(ctx, txn)
	if err != nil {
		return nil, problems(dir, err)
	}
	for r := range ch {
		out.add(r)
	}
	slices.SortFunc(out.Tests, func(a, b TestResult) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Row, b.Row), cmp.Compare(a.Name, b.Name))
	})
	if o.Coverage {
		seen := cover.New()
		if _, all, err = withTests(opts); err != nil { // the run before changed the modules
			return nil, err
		}
		ch, err := runner(store, all, o).SetCoverageQueryTracer(seen).SetCoverageRuns([]cover.Kind{}).RunTests(ctx, txn)
		if err != nil {
			return nil, problems(dir, err)
		}
		for range ch { // to its end
		}
		out.Coverage = coverageOf(seen, src)
	}
	return out, nil
}

func runner(store storage.Store, all map[string]*ast.Module, o TestOptions) *tester.Runner {
	return tester.NewRunner().SetCompiler(newCompiler()).SetStore(store).SetModules(all).CapturePrintOutput(true).SetTimeout(10 * time.Second).Filter(o.Run)
}

func (t *TestReport) add(r *tester.Result) {
	x := TestResult{Name: r.Name, Package: strings.TrimPrefix(r.Package, "data."), Outcome: "pass", Seconds: r.Duration.Seconds()}
	if r.Location != nil {
		x.File, x.Row = r.Location.File, r.Location.Row
	}
	switch {
	case r.Skip:
		x.Outcome = "skip"
		t.Skipped++
	case r.Pass():
		t.Passed++
	default:
		x.Outcome, x.Detail = "fail", detail(r)
		r.SubResults.Iter(func(name []string, s *tester.SubResult) bool {
			if s.Fail && len(s.SubResults) == 0 {
				x.Cases = append(x.Cases, strings.Join(name, " / "))
			}
			return true
		})
		slices.Sort(x.Cases)
		t.Failed++
	}
	t.Tests = append(t.Tests, x)
}

// detail is why a test failed.
func detail(r *tester.Result) string {
	var b bytes.Buffer
	if r.Error != nil {
		fmt.Fprintln(&b, r.Error)
	}
	b.Write(r.Output)
	if r.Trace != nil {
		own := slices.DeleteFunc(lineage.Fails(r.Trace), func(ev *topdown.Event) bool { // what composes the decision fails in every one
			return ev.Location == nil || strings.HasPrefix(ev.Location.File, "sallyport/")
		})
		topdown.PrettyTraceWithOpts(&b, own, topdown.PrettyTraceOptions{Locations: true, ExprVariables: true})
	}
	return b.String()
}

// WriteFailures writes what failed.
func (t *TestReport) WriteFailures(w io.Writer) {
	for _, x := range t.Tests {
		if x.Outcome != "fail" {
			continue
		}
		fmt.Fprintf(w, "FAIL %s:%d: %s\n", x.File, x.Row, x.Name)
		for _, c := range x.Cases {
			fmt.Fprintf(w, "  case %s\n", c)
		}
		for line := range strings.Lines(x.Detail) {
			fmt.Fprint(w, "  ", line)
		}
	}
}

// coverageOf counts the lines of the author's rules, without tests.
func coverageOf(seen *cover.Cover, src *source) *Coverage {
	by := map[string]*ast.Module{}
	for _, m := range src.modules {
		by[m.Package.Location.File] = m
	}
	out := &Coverage{Percent: 100, Uncovered: []LineRange{}}
	report := seen.Report(by)
	for _, file := range slices.Sorted(maps.Keys(by)) {
		f := report.Files[file]
		if f == nil {
			continue
		}
		out.Covered, out.Lines = out.Covered+f.CoveredLines, out.Lines+f.CoveredLines+f.NotCoveredLines
		for _, r := range f.NotCovered {
			if n := len(out.Uncovered); n > 0 && out.Uncovered[n-1].File == file && r.Start.Row <= out.Uncovered[n-1].Last+1 {
				out.Uncovered[n-1].Last = max(out.Uncovered[n-1].Last, r.End.Row)
				continue
			}
			out.Uncovered = append(out.Uncovered, LineRange{file, r.Start.Row, r.End.Row})
		}
	}
	if out.Lines > 0 {
		out.Percent = 100 * float64(out.Covered) / float64(out.Lines)
	}
	return out
}
