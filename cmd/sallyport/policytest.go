package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/policy/rego"
)

func policyTestCommand() *cobra.Command {
	var o rego.TestOptions
	var format string
	var least float64
	cmd := &cobra.Command{
		Use:   "test DIR|BUNDLE…",
		Short: "Run a policy's own tests",
		Long: `test runs the rules whose names begin with test_ in files that end in _test.rego. A policy without tests fails. With
--coverage it names the lines of the policy that no test came to; --min fails below a percentage.`,
		Example: `  sallyport policy test ./policy
  sallyport policy test --coverage --min 90 ./policy
  sallyport policy test --format junit ./policy > report.xml
  sallyport policy test --run test_nobody ./policy`,
		Args: cobra.MinimumNArgs(1),
	}
	fl := cmd.Flags()
	fl.StringVar(&o.Run, "run", "", "run the tests whose data.PACKAGE.NAME matches a regular expression `REGEX`")
	fl.StringVar(&format, "format", "text", "print `FORMAT` text, json or junit")
	fl.BoolVar(&o.Coverage, "coverage", false, "say which lines no test came to")
	fl.Float64Var(&least, "min", 0, "fail when fewer than `PERCENT` of the lines are covered")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if format != "text" && format != "json" && format != "junit" {
			return fmt.Errorf("--format %q: expected text, json or junit", format)
		}
		if least < 0 || least > 100 {
			return fmt.Errorf("--min %v: expected a percentage from 0 to 100", least)
		}
		o.Coverage = o.Coverage || least > 0
		w := cmd.OutOrStdout()
		var all []*rego.TestReport
		var wrong []string
		for _, dir := range args {
			r, err := rego.RunTests(cmd.Context(), dir, o)
			if err != nil {
				return err
			}
			all = append(all, r)
			if format == "text" {
				printTests(w, r)
			}
			switch c := r.Coverage; {
			case len(r.Tests) == 0 && o.Run != "":
				wrong = append(wrong, fmt.Sprintf("%s: no test matches %s", dir, o.Run))
			case len(r.Tests) == 0:
				wrong = append(wrong, dir+": there are no tests: write rules named test_… in files that end in _test.rego")
			case c != nil && c.Percent < least:
				wrong = append(wrong, fmt.Sprintf("%s: %.1f %% of the lines are covered, and --min is %v", dir, c.Percent, least))
			}
		}
		var err error
		switch format {
		case "json":
			err = printJSON(w, all)
		case "junit":
			err = printJUnit(w, all)
		}
		if err != nil {
			return err
		}
		return failedTests(all, wrong)
	}
	return cmd
}

// failedTests is the exit code, and what else is wrong than the tests that were shown.
func failedTests(all []*rego.TestReport, wrong []string) error {
	out := &exitError{code: 1}
	if len(wrong) > 0 {
		out.err = fmt.Errorf("%s", strings.Join(wrong, "\n  "))
		return out
	}
	for _, r := range all {
		if r.Failed > 0 {
			return out
		}
	}
	return nil
}

func printTests(w io.Writer, r *rego.TestReport) {
	r.WriteFailures(w)
	skipped := ""
	if r.Skipped > 0 {
		skipped = fmt.Sprintf(", %d to do", r.Skipped)
	}
	fmt.Fprintf(w, "%s: %d passed, %d failed%s\n", r.Policy, r.Passed, r.Failed, skipped)
	c := r.Coverage
	if c == nil {
		return
	}
	fmt.Fprintf(w, "%s: %.1f %% covered, %d of %d lines\n", r.Policy, c.Percent, c.Covered, c.Lines)
	for _, u := range c.Uncovered {
		if u.First == u.Last {
			fmt.Fprintf(w, "  no test comes to %s:%d\n", u.File, u.First)
		} else {
			fmt.Fprintf(w, "  no test comes to %s:%d-%d\n", u.File, u.First, u.Last)
		}
	}
}

// Elements of JUnit's XML, as CI servers read it.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Skipped *struct{}     `xml:"skipped,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func printJUnit(w io.Writer, all []*rego.TestReport) error {
	var out junitSuites
	for _, r := range all {
		s := junitSuite{Name: r.Policy, Tests: len(r.Tests), Failures: r.Failed, Skipped: r.Skipped, Cases: []junitCase{}}
		total := 0.0
		for _, x := range r.Tests {
			c := junitCase{Class: x.Package, Name: x.Name, File: x.File, Line: x.Row, Time: fmt.Sprintf("%.6f", x.Seconds)}
			switch x.Outcome {
			case "fail":
				c.Failure = &junitFailure{Message: strings.TrimSpace(fmt.Sprintf("%s:%d %s", x.File, x.Row, strings.Join(x.Cases, "; "))), Text: x.Detail}
			case "skip":
				c.Skipped = &struct{}{}
			}
			total += x.Seconds
			s.Cases = append(s.Cases, c)
		}
		s.Time = fmt.Sprintf("%.6f", total)
		out.Suites = append(out.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}
