package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sallyport/admin"
	"sallyport/audit"
)

func decisionsCommand() *cobra.Command {
	var q admin.Decisions
	var denied, asJSON bool
	cmd := &cobra.Command{
		Use:   "decisions [flags] [ID]",
		Short: "Show what a sidecar decided last, or one decision by the id that its refusal shows",
		Long: `decisions shows the newest decisions of a sidecar, the newest last, as far as they
are kept in memory. With the ID that a refusal showed it shows the record of that
decision and of what came of it, from memory or from the log.`,
		Example: `  sallyport decisions --denied
  sallyport decisions --sandbox build --limit 20
  sallyport decisions 01981f0a-6d6b-7a55-b3c1-9a3c9a7f0e11
  sallyport decisions --json | jq -r '.[].record["url.domain"]' | sort | uniq -c`,
		Args: cobra.MaximumNArgs(1),
	}
	client := controlFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&q.Sandbox, "sandbox", "", "only of the sandbox with this `NAME` or id")
	f.StringVar(&q.Host, "host", "", "only about this `HOST`")
	f.StringVar(&q.Outcome, "decision", "", "only decisions of this `KIND`: allow, deny, error, respond, or denied for deny and error")
	f.BoolVar(&denied, "denied", false, "only what did not pass: the same as --decision denied")
	f.StringVar(&q.Code, "code", "", "only refusals with this `CODE`")
	f.IntVar(&q.Limit, "limit", admin.DefaultLimit, fmt.Sprintf("at most `N`, up to %d", admin.MaxLimit))
	f.BoolVar(&asJSON, "json", false, "print JSON: the records as they are in the log")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case denied && q.Outcome != "" && q.Outcome != audit.Denied:
			return errors.New("--denied and --decision say different things")
		case denied:
			q.Outcome = audit.Denied
		}
		out := cmd.OutOrStdout()
		if len(args) == 1 {
			for _, n := range []string{"sandbox", "host", "decision", "denied", "code", "limit"} {
				if f.Changed(n) {
					return fmt.Errorf("--%s chooses among many, and an ID names one: say one of both", n)
				}
			}
			d, err := client().Decision(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(out, d)
			}
			return printStory(out, d)
		}
		all, err := client().Decisions(cmd.Context(), q)
		if err != nil {
			return err
		}
		if len(all) == 0 && q.Sandbox != "" { // one that was removed may have some
			if _, err := client().Get(cmd.Context(), q.Sandbox); err != nil {
				return err
			}
		}
		if asJSON {
			return printJSON(out, all)
		}
		if len(all) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "sallyport: nothing of that kind was decided, as far as it is kept in memory")
		}
		for _, d := range slices.Backward(all) {
			if err := printRecord(out, d.Record); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func printRecord(w io.Writer, record json.RawMessage) error {
	e := audit.Entry{Line: record}
	d := json.NewDecoder(bytes.NewReader(record))
	d.UseNumber()
	if err := d.Decode(&e.Fields); err != nil {
		return err
	}
	color := false
	if f, ok := w.(*os.File); ok {
		color = term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
	}
	return audit.FormatEntry(w, e, color)
}

// printStory writes a line for each record, and then the fields of the decision.
func printStory(w io.Writer, d admin.Decision) error {
	for _, r := range append([]json.RawMessage{d.Record}, d.Then...) {
		if err := printRecord(w, r); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := json.Indent(&b, d.Record, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

func credentialCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "credential", Short: "Tell of the credentials of a sidecar, never of their values, and change them", Example: "  sallyport credential ls\n  sallyport credential revoke github"}
	client := controlFlags(cmd)
	var asJSON bool
	ls := &cobra.Command{Use: "ls", Short: "List credentials and whether each can be had; exits with 1 when one cannot", Args: cobra.NoArgs, Example: "  sallyport credential ls --json", RunE: func(cmd *cobra.Command, _ []string) error {
		all, err := client().Credentials(cmd.Context())
		if err != nil {
			return err
		}
		if asJSON {
			err = printJSON(cmd.OutOrStdout(), all)
		} else {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tSTATE\tKIND\tPLACE\tSOURCE\tBOUND TO\tWHY")
			for _, c := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.State, c.Kind, c.Place, clean(c.Source), c.Bind, clean(c.Reason))
			}
			err = w.Flush()
		}
		if err == nil && slices.ContainsFunc(all, func(c admin.Credential) bool { return c.State != admin.CredentialReady }) {
			return &exitError{code: 1}
		}
		return err
	}}
	ls.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(ls, credentialCheckCommand(client), credentialRotateCommand(client), credentialRevokeCommand(client))
	return group(cmd)
}

func policyListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "ls", Short: "List the policies of a sidecar, and the sandboxes for which each decides", Args: cobra.NoArgs, Example: "  sallyport policy ls --json"}
	client := controlFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := client().Policies(cmd.Context())
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), all)
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tDEFAULT\tDIGEST\tSANDBOXES\tNEEDS")
		for _, p := range all {
			def := ""
			if p.Default {
				def = "yes"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Name, def, p.Digest[:min(12, len(p.Digest))], some(p.Sandboxes), strings.Join(p.Props, ","))
		}
		return w.Flush()
	}
	return cmd
}

// some are the first names of a list that may be long.
func some(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ",")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ","), len(names)-most)
}
