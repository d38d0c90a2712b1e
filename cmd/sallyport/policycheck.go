package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"sallyport/cmd/words"
	"sallyport/policy/rego"
)

func policyCheckCommand() *cobra.Command {
	var asJSON, strict, quiet bool
	cmd := &cobra.Command{
		Use:   "check DIR|BUNDLE…",
		Short: "Compile a policy as strictly as the proxy does, and say what is likely not meant",
		Long: `check compiles a policy and its tests as the proxy does. What is wrong is shown with the line it is on and what to write
instead. It warns of hosts that are matched by an accident of their spelling, of what never holds or is never reached, of
header fields on which rules disagree, and of habits that cost time, with their price. Then it says what each phase can
read, and whether its decisions are kept, so that one that was made is not made again.`,
		Example: `  sallyport policy check ./policy
  sallyport policy check ./web.tar.gz
  sallyport policy check --strict --json ./policy | jq '.[].warnings'`,
		Args: cobra.MinimumNArgs(1),
	}
	fl := cmd.Flags()
	fl.BoolVar(&asJSON, "json", false, "print a JSON array with a report for each directory")
	fl.BoolVar(&strict, "strict", false, "fail for warnings too")
	fl.BoolVarP(&quiet, "quiet", "q", false, "leave out what the phases read")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w := cmd.OutOrStdout()
		var all []*rego.Report
		good := true
		for _, dir := range args {
			r := rego.Inspect(cmd.Context(), dir)
			good = good && r.OK && (!strict || len(r.Warnings) == 0)
			all = append(all, r)
			if !asJSON {
				printReport(w, r, quiet)
			}
		}
		if asJSON {
			if err := printJSON(w, all); err != nil {
				return err
			}
		}
		if !good {
			return &exitError{code: 1}
		}
		return nil
	}
	return cmd
}

func printReport(w io.Writer, r *rego.Report, quiet bool) {
	for i, p := range r.Errors {
		if i > 0 && p.Line == r.Errors[i-1].Line && p.Advice == r.Errors[i-1].Advice {
			p.Line, p.Advice = "", "" // shown already
		}
		printProblem(w, "", p)
	}
	for _, p := range r.Warnings {
		printProblem(w, "warning: ", p)
	}
	switch n := len(r.Warnings); {
	case !r.OK:
		fmt.Fprintf(w, "%s: not taken\n", r.Policy)
		return
	case n == 0:
		fmt.Fprintf(w, "%s: ok\n", r.Policy)
	default:
		fmt.Fprintf(w, "%s: ok, with %d warning%s\n", r.Policy, n, plural(n))
	}
	if quiet {
		return
	}
	for _, ph := range r.Phases {
		kept := "decisions are kept"
		if !ph.Cached {
			kept = "decisions are not kept: " + ph.Uncached
		}
		reads := "nothing of its input"
		if len(ph.Reads) > 0 {
			reads = strings.Join(ph.Reads, ", ")
		}
		fmt.Fprintf(w, "  %s: %d rule%s; %s\n    reads %s\n", ph.Package, ph.Rules, plural(ph.Rules), kept, reads)
	}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// printProblem shows the line of the source with a caret, and what to write instead.
func printProblem(w io.Writer, kind string, p rego.Problem) {
	at := p.String()
	if kind != "" {
		at = strings.Replace(at, p.Message, kind+p.Message, 1)
	}
	fmt.Fprintln(w, shown(words.Plain(at)))
	if p.Line != "" {
		line, before := shown(p.Line), []rune(p.Line)
		before = before[:min(max(p.Col-1, 0), len(before))]
		num := fmt.Sprintf("%5d", p.Row)
		fmt.Fprintf(w, "%s | %s\n%s | %s^\n", num, line, strings.Repeat(" ", len(num)), strings.Repeat(" ", len([]rune(shown(string(before))))))
	}
	if p.Advice != "" {
		fmt.Fprintf(w, "      = %s\n", shown(p.Advice))
	}
}

// shown is text of a file as a terminal may have it: tabs are four spaces, and
// what does not print is a question mark.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ReplaceAll(s, "\t", "    "))
}
