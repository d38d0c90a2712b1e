package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/metrics"
	"sallyport/policy/rego"
	"sallyport/policy/replay"
)

func policyReplayCommand() *cobra.Command {
	var l logReader
	var dirs, old, failOn []string
	var asJSON bool
	examples := 2
	cmd := &cobra.Command{
		Use:   "replay [flags] --policy DIR|BUNDLE [LOG]",
		Short: "Ask the decisions of a log again of another policy, and say what flips",
		Long: `replay asks every recorded decision again of a candidate, from what its record has of the input: what the policy could read that
decided then, and what the record says anyway, such as host, method and path. What would be decided otherwise is counted by
rule, host and method. What the record does not have is not known: a decision that looks at it is undecidable, never the same.
LOG is a directory, or a file of it; without one it is that of the newest run. Several --policy are layers, outermost first.

Records do not have the edits and limits of a decision. With --old, the policy that decided then is asked too, and they are
compared where its digest is that of the record.

The exit code is 0 when nothing flips, 1 when something does or --fail-on says so, and 2 when there is no answer.`,
		Example: `  sallyport policy replay --policy ./candidate /var/lib/sallyport/audit
  sallyport policy replay --policy ./candidate --since 24h --sandbox build --json /var/lib/sallyport/audit | jq '.groups[]'
  sallyport policy replay --policy ./candidate --old ./policy --fail-on change,undecidable ./audit
  sallyport policy replay --policy ./organisation --policy ./team ./audit`,
		Args: cobra.MaximumNArgs(1),
	}
	l.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&dirs, "policy", nil, "the candidate: a directory or bundle `DIR` (repeatable: layers, outermost first)")
	f.StringArrayVar(&old, "old", nil, "the policy that decided then: a directory or bundle `DIR` (repeatable)")
	f.StringSliceVar(&failOn, "fail-on", nil, "exit with 1 for these too: `KIND` change or undecidable (repeatable)")
	f.IntVar(&examples, "examples", examples, "show at most `N` examples of what comes out alike")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		out, err := replayed(cmd.Context(), &l, args, dirs, old, failOn, examples, cmd.ErrOrStderr())
		if out == nil {
			return &exitError{code: codeNoAnswer, err: err}
		}
		w := cmd.OutOrStdout()
		if asJSON {
			if werr := printJSON(w, out); werr != nil {
				return werr
			}
		} else {
			out.print(w)
		}
		switch {
		case err != nil:
			return &exitError{code: codeNoAnswer, err: err}
		case out.Flips() > 0, slices.Contains(failOn, "change") && out.Changed > 0, slices.Contains(failOn, "undecidable") && out.Undecidable > 0:
			return &exitError{code: 1}
		}
		return nil
	}
	return cmd
}

// A replayReport is a replay with what it was of.
type replayReport struct {
	Log      string      `json:"log"`
	Policies []policyRef `json:"policies"`
	*replay.Result
}

type policyRef struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// replayed is a replay, of a part of the log when there is an error too.
func replayed(ctx context.Context, l *logReader, args, dirs, old, failOn []string, examples int, stderr io.Writer) (*replayReport, error) {
	if len(dirs) == 0 {
		return nil, errors.New("--policy is missing: name the candidate")
	}
	for _, k := range failOn {
		if k != "change" && k != "undecidable" {
			return nil, fmt.Errorf("--fail-on %q: expected change or undecidable", k)
		}
	}
	if examples < 1 || examples > 1000 {
		return nil, fmt.Errorf("--examples %d: expected a number from 1 to 1000", examples)
	}
	log, err := logDir(args)
	if err != nil {
		return nil, err
	}
	if err := l.open(stderr); err != nil {
		return nil, err
	}
	o := replay.Options{Wall: metrics.Codes(), Sandbox: l.sandbox, Read: l.o, Examples: examples, Decided: l.meter.count}
	if o.Policies, err = loadAll(ctx, dirs); err != nil {
		return nil, err
	}
	if o.Old, err = loadAll(ctx, old); err != nil {
		return nil, err
	}
	out := &replayReport{Log: log, Policies: []policyRef{}}
	for _, p := range o.Policies {
		out.Policies = append(out.Policies, policyRef{p.Name(), p.Digest()})
	}
	out.Result, err = replay.Run(ctx, log, o)
	l.meter.clear()
	if err != nil {
		if b := (*audit.BreakError)(nil); errors.As(err, &b) {
			err = fmt.Errorf("%w: see sallyport audit verify; --unverified reads on", err)
		}
		if out.Result.Decisions == 0 {
			return nil, err
		}
	}
	return out, err
}

// loadAll compiles policies that are asked about what is past: nobody waits, so an
// evaluation may take longer.
func loadAll(ctx context.Context, dirs []string) (out []*rego.Policy, err error) {
	for _, d := range dirs {
		p, err := rego.Load(ctx, rego.Options{Name: d, Dir: d, Uncached: true, Deadline: 10 * time.Second})
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (r *replayReport) print(w io.Writer) {
	line := func(format string, a ...any) { fmt.Fprintln(w, shown(fmt.Sprintf(format, a...))) }
	var names []string
	for _, p := range r.Policies {
		names = append(names, fmt.Sprintf("%s (%.12s)", p.Name, p.Digest))
	}
	line("%s: %s decisions asked again of %s", r.Log, grouped(r.Decisions), strings.Join(names, " + "))
	line("%10s the same", grouped(r.Same))
	line("%10s that were allowed would be denied", grouped(r.Denied))
	line("%10s that were denied would be allowed", grouped(r.Allowed))
	line("%10s would differ otherwise", grouped(r.Changed))
	line("%10s undecidable: the record does not have what the candidate looks at", grouped(r.Undecidable))
	for _, why := range slices.Sorted(maps.Keys(r.Left)) {
		line("%10s not asked again: %s", grouped(r.Left[why]), why)
	}
	if r.Observed > 0 {
		line("%10s of all were let pass by mode observe alone, and count as allowed", grouped(r.Observed))
	}
	for _, kind := range []struct{ kind, title string }{{replay.Denied, "would be denied"}, {replay.Allowed, "would be allowed"}, {replay.Changed, "would differ"}, {replay.Undecidable, "undecidable"}} {
		first := true
		for _, g := range r.Groups {
			if g.Kind != kind.kind {
				continue
			}
			if first {
				line("")
				line("%s", kind.title)
				first = false
			}
			r.group(line, g)
		}
	}
	if r.Rest > 0 {
		line("")
		line("%s more are of other kinds than those", grouped(r.Rest))
	}
}

func (r *replayReport) group(line func(string, ...any), g *replay.Group) {
	line("%10s %s %s %s", grouped(g.Count), phaseName(g.Phase), g.Method, g.Host)
	switch {
	case g.Kind == replay.Undecidable:
		line("           %s, and %s reads it", g.What, g.Rule)
	case g.Kind == replay.Changed:
		line("           %s", g.What)
	case g.Rule != "":
		line("           was %s, would be %s: %s", g.Was, g.Now, g.Rule)
	default:
		line("           was %s, would be %s", g.Was, g.Now)
	}
	for _, e := range *g.Examples {
		line("           %s %s %s %s", e.Time, e.ID, e.Sandbox, e.Target)
	}
}
