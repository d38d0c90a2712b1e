package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/policy/rego"
	"sallyport/policy/replay"
)

func policyExplainCommand() *cobra.Command {
	var dirs []string
	var log string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [flags] ID --policy DIR|BUNDLE",
		Short: "Say why a recorded decision was made",
		Long: `explain takes the record of a decision, by the id that its refusal shows, and asks the policy again of what the record has of the
input: which rules held, and of each other the condition at which it ended, with what that saw. A value that the record does not have is
"redacted" or "not recorded". Whether the policy is the one that decided is known by its digest, and said. The record is that of the
newest run, or of the log of --audit, or, with --control, a sidecar's. Several --policy are layers, outermost first.

The exit code is 0, or 2 when there is no answer.`,
		Example: `  sallyport policy explain 01981f0a-6d6b-7a55-b3c1-9a3c9a7f0e11 --policy ./policy
  sallyport policy explain 01981f0a-6d6b-7a55-b3c1-9a3c9a7f0e11 --policy ./policy --audit /var/lib/sallyport/audit
  sallyport policy explain 01981f0a-6d6b-7a55-b3c1-9a3c9a7f0e11 --policy ./policy --control /run/sallyport/control.sock --json`,
		Args: cobra.ExactArgs(1),
	}
	client := controlFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&dirs, "policy", nil, "the policy that decided: a directory or bundle `DIR` (repeatable: layers, outermost first)")
	f.StringVar(&log, "audit", "", "look for the record in the log in `DIR`")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e := &explanation{ID: args[0], Layers: []explainedLayer{}}
		var c *admin.Client
		if cmd.Flags().Changed("control") {
			c = client()
		}
		err := e.find(cmd.Context(), c, log)
		if err == nil {
			err = e.explain(cmd.Context(), dirs)
		}
		if err != nil {
			return &exitError{code: codeNoAnswer, err: err}
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), e)
		}
		return e.print(cmd.OutOrStdout())
	}
	return cmd
}

// An explanation is why a decision was made.
type explanation struct {
	ID       string           `json:"id"`
	Decision string           `json:"decision"` // as it was recorded
	Code     string           `json:"code,omitempty"`
	Operator string           `json:"operator,omitempty"`
	Note     string           `json:"note,omitempty"`
	Layers   []explainedLayer `json:"layers"`
	Record   json.RawMessage  `json:"record"`

	entry audit.Entry
}

// An explainedLayer is what one policy says of it.
type explainedLayer struct {
	Policy  string      `json:"policy"`
	Digest  string      `json:"digest"`
	Decided bool        `json:"decided"` // it is the one that the record names
	Gap     *rego.Gap   `json:"gap,omitempty"`
	Answer  *answer     `json:"answer,omitempty"` // that it gives to what the record has
	Trace   *rego.Trace `json:"trace"`
}

// find looks the record up.
func (e *explanation) find(ctx context.Context, c *admin.Client, log string) error {
	if c != nil {
		d, err := c.Decision(ctx, e.ID)
		if err != nil {
			return err
		}
		e.Record = d.Record
	} else {
		var args []string
		if log != "" {
			args = []string{log}
		}
		dir, err := logDir(args)
		if err != nil {
			return err
		}
		s, err := audit.Find(ctx, dir, e.ID)
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		e.Record = s.Decision.Line
	}
	e.entry.Line = e.Record
	d := json.NewDecoder(bytes.NewReader(e.Record))
	d.UseNumber()
	return d.Decode(&e.entry.Fields)
}

// explain asks each policy again.
func (e *explanation) explain(ctx context.Context, dirs []string) error {
	e.Decision, e.Code, e.Operator = e.entry.Str("policy.decision"), e.entry.Str("policy.code"), e.entry.Str("policy.operator")
	a, why := replay.AskedOf(e.entry, nil)
	switch {
	case why == replay.NoDecision:
		return fmt.Errorf("%s is the record of a %s, which decides nothing", e.ID, e.entry.Str("event.name"))
	case why != "":
		e.Note = why
		return nil
	case len(dirs) == 0:
		e.Note = fmt.Sprintf("decided by the policy %s with digest %s: name it with --policy to see its rules", a.Policy, a.Digest)
		return nil
	}
	ps, err := loadAll(ctx, dirs)
	if err != nil {
		return err
	}
	decided := strings.Split(a.Digest, "+")
	for i, p := range ps {
		l := explainedLayer{Policy: p.Name(), Digest: p.Digest(), Decided: i < len(decided) && decided[i] == p.Digest()}
		d, gap := p.Again(ctx, a.Phase, a.Kept, a.At)
		if l.Gap = gap; gap == nil {
			x := answerOf(d)
			l.Answer = &x
		}
		if l.Trace, err = p.TraceAgain(ctx, a.Phase, a.Kept, a.At); l.Trace == nil {
			return err
		}
		e.Layers = append(e.Layers, l)
	}
	if len(ps) != len(decided) {
		e.Note = fmt.Sprintf("%d policies decided as layers, and %d are named", len(decided), len(ps))
	}
	return nil
}

func (e *explanation) print(w io.Writer) error {
	if err := printRecord(w, e.Record); err != nil {
		return err
	}
	line := func(format string, a ...any) { fmt.Fprintln(w, shown(fmt.Sprintf(format, a...))) }
	line("%s", strings.TrimSpace(e.Decision+" "+e.Code))
	if e.Operator != "" {
		line("  %s", e.Operator)
	}
	if e.Note != "" {
		line("  %s", e.Note)
	}
	for _, l := range e.Layers {
		if l.Decided {
			line("%s, which decided (digest %.12s)", l.Policy, l.Digest)
		} else {
			line("%s, which is not what decided then: its digest is %.12s, the record's %s", l.Policy, l.Digest, short(e.entry.Str("policy.bundle.sha256")))
		}
		switch {
		case l.Gap != nil:
			line("  cannot be decided again: %s is %s, and %s:%d reads it", l.Gap.Path, l.Gap.Why, l.Gap.File, l.Gap.Row)
		case l.Answer.Error != "":
			line("  error   %s", l.Answer.Error)
		}
		for _, r := range l.Trace.Held {
			line("  held    %s at %s:%d", r.Rule, r.File, r.Row)
		}
		if l.Answer != nil {
			for _, x := range l.Answer.Deny {
				line("  deny    %s", strings.Join(slices.DeleteFunc([]string{x.Code, x.Public, x.Operator}, func(s string) bool { return s == "" }), ": "))
			}
		}
		for _, f := range l.Trace.Failed {
			line("  failed  %s at %s:%d, in line %d: %s", f.Rule, f.File, f.Row, f.Line, strings.Join(strings.Fields(f.Condition), " "))
			for _, k := range slices.Sorted(maps.Keys(f.Values)) {
				line("            %s is %s", k, f.Values[k])
			}
		}
	}
	return nil
}

// short is a digest, or several, as people read them.
func short(digest string) string {
	parts := strings.Split(digest, "+")
	for i, p := range parts {
		parts[i] = p[:min(12, len(p))]
	}
	return strings.Join(parts, "+")
}
