package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sallyport/audit"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read, verify and prove audit logs",
		Example: `  sallyport audit tail --denied
  sallyport audit verify /var/lib/sallyport/audit
  sallyport audit checkpoint > monday.checkpoint`,
	}
	cmd.AddCommand(auditTailCommand(), auditVerifyCommand(), auditCheckpointCommand(), auditProveCommand())
	return group(cmd)
}

func auditTailCommand() *cobra.Command {
	var o audit.TailOptions
	var json, denied bool
	cmd := &cobra.Command{
		Use:   "tail [flags] [DIR]",
		Short: "Show records, one line each",
		Long:  "tail shows the records of a log, or of the newest run when no DIR is given.",
		Example: `  sallyport audit tail
  sallyport audit tail --follow --denied
  sallyport audit tail --host api.github.com --json | jq .`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := logDir(args)
			if err != nil {
				return err
			}
			switch o.Decision {
			case "", "allow", "deny", "error", "respond", audit.Denied:
			default:
				return fmt.Errorf("--decision %q: expected allow, deny, error, respond, or denied for all that did not pass", o.Decision)
			}
			if denied && o.Decision != "" && o.Decision != audit.Denied {
				return errors.New("--denied and --decision say different things")
			} else if denied {
				o.Decision = audit.Denied
			}
			warned := false
			o.Damaged = func(segment string) {
				if !warned {
					warned = true
					fmt.Fprintf(cmd.ErrOrStderr(), "sallyport: %s holds a line that is no record: see sallyport audit verify %s\n", segment, dir)
				}
			}
			w := cmd.OutOrStdout()
			color := false
			if f, ok := w.(*os.File); ok {
				color = term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
			}
			err = audit.Tail(cmd.Context(), dir, o, func(e audit.Entry) error {
				if json {
					_, err := w.Write(append(slices.Clone(e.Line), '\n'))
					return err
				}
				return audit.FormatEntry(w, e, color)
			})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on with what is written from now on")
	f.StringVar(&o.Sandbox, "sandbox", "", "only records of the sandbox with this `NAME` or id")
	f.StringVar(&o.Host, "host", "", "only records about this `HOST`")
	f.StringVar(&o.Decision, "decision", "", "only decisions of this `KIND`: allow, deny, error, respond, or denied for all that did not pass")
	f.BoolVar(&denied, "denied", false, "only what did not pass: the same as --decision denied")
	f.StringVar(&o.Code, "code", "", "only refusals with this `CODE`")
	f.StringVar(&o.Text, "text", "", "only records that contain `TEXT`")
	f.BoolVar(&json, "json", false, "show the records as they are kept")
	return cmd
}

// stateDir is where runs keep their logs: the XDG base directory specification.
func stateDir() (string, error) {
	d := os.Getenv("XDG_STATE_HOME")
	if d == "" || !filepath.IsAbs(d) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("there is no place for the records: set HOME, XDG_STATE_HOME or --audit (%w)", err)
		}
		d = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(d, "sallyport"), nil
}

// logDir is the log that was named, or the newest run's.
func logDir(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	s, err := stateDir()
	if err != nil {
		return "", err
	}
	runs := filepath.Join(s, "runs")
	es, err := os.ReadDir(runs)
	if err != nil || len(es) == 0 {
		return "", fmt.Errorf("there is no run in %s yet; name the log's directory", runs)
	}
	return filepath.Join(runs, es[len(es)-1].Name()), nil // names begin with their time
}
