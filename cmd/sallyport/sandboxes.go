package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/sandbox"
)

func sandboxCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Command a sidecar: list, change, pause and revoke sandboxes",
		Example: `  sallyport sandbox ls --label team=web
  sallyport sandbox create agent --policy web
  sallyport sandbox policy build org web
  sallyport sandbox revoke build`,
	}
	client := controlFlags(cmd)
	cmd.AddCommand(sandboxCreateCommand(client), sandboxListCommand(client), sandboxShowCommand(client), sandboxLabelCommand(client), sandboxPropCommand(client), sandboxPolicyCommand(client), sandboxModeCommand(client), sandboxLimitCommand(client),
		sandboxStateCommand(client, "pause", admin.Paused, "Let nothing pass until it is resumed, and cut what is open"),
		sandboxStateCommand(client, "resume", admin.Active, "Let pass again what policy allows"),
		sandboxStateCommand(client, "revoke", admin.Revoked, "Let nothing pass ever again, and cut what is open"),
		sandboxRemoveCommand(client), sandboxWatchCommand(client))
	return group(cmd)
}

// printJSON writes a value as people read it.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func pairs(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ",")
}

func sandboxListCommand(client func() *admin.Client) *cobra.Command {
	var labels []string
	var asJSON bool
	cmd := &cobra.Command{Use: "ls", Short: "List sandboxes", Args: cobra.NoArgs, Example: "  sallyport sandbox ls --label team=web --json", RunE: func(cmd *cobra.Command, _ []string) error {
		want, err := admin.ParseSelector(labels)
		if err != nil {
			return err
		}
		all, err := client().List(cmd.Context(), want)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), all)
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tSTATE\tMODE\tPOLICY\tWAY\tLABELS")
		for _, s := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.State, s.Mode, strings.Join(s.Policy, "+"), s.Way, clean(pairs(s.Labels)))
		}
		return w.Flush()
	}}
	cmd.Flags().StringArrayVar(&labels, "label", nil, "only those with this label `KEY=VALUE` (repeatable)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func sandboxCreateCommand(client func() *admin.Client) *cobra.Command {
	var a asked
	var way string
	cmd := &cobra.Command{
		Use:   "create NAME [flags]",
		Short: "Make a sandbox for a container that joins, or a namespace that is attached, later",
		Long: `create makes a sandbox that has no namespace yet, and prints the directory with
the socket and the token that are good for one: mount it into the container whose
entrypoint is 'sallyport join', or give it to 'attach' or 'gateway' as --enrol.
When the namespace ends there is a new token for the next.`,
		Example: "  sallyport sandbox create agent --label team=web --policy web",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.name = args[0]
			if !sandbox.Way(way).Lasts() {
				return fmt.Errorf("--way %q: expected join, attach or gateway", way)
			}
			c, err := a.create(sandbox.Way(way))
			if err != nil {
				return err
			}
			made, err := client().Create(cmd.Context(), c)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), filepath.Dir(made.Ticket.Socket))
			return nil
		},
	}
	a.flags(cmd)
	cmd.Flags().StringVar(&way, "way", string(sandbox.WayJoin), "`WAY` that its traffic comes in: join, attach or gateway")
	return cmd
}

func sandboxShowCommand(client func() *admin.Client) *cobra.Command {
	return &cobra.Command{Use: "show NAME", Short: "Show one sandbox", Args: cobra.ExactArgs(1), Example: "  sallyport sandbox show build", RunE: func(cmd *cobra.Command, args []string) error {
		sb, err := client().Get(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), sb)
	}}
}

// changing is a command that patches one sandbox.
func changing(client func() *admin.Client, use, short, example string, args cobra.PositionalArgs, patch func(args []string) (admin.Patch, error)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, Example: example, RunE: func(cmd *cobra.Command, args []string) error {
		p, err := patch(args[1:])
		if err != nil {
			return err
		}
		sb, err := client().Change(cmd.Context(), args[0], p)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), clean(inShort(sb)))
		return err
	}}
}

// inShort is a sandbox in a line, with all that a command can change.
func inShort(sb admin.Sandbox) string {
	s := fmt.Sprintf("%s: %s, mode %s, policy %s", sb.Name, sb.State, sb.Mode, strings.Join(sb.Policy, "+"))
	if len(sb.Labels) > 0 {
		s += ", labels " + pairs(sb.Labels)
	}
	if len(sb.Props) > 0 {
		s += ", properties " + strings.Join(slices.Sorted(maps.Keys(sb.Props)), ",")
	}
	for _, l := range terms.SayLimits(sb.Limits) {
		s += ", " + l
	}
	return s
}

func sandboxLabelCommand(client func() *admin.Client) *cobra.Command {
	return changing(client, "label NAME KEY=VALUE… [KEY-…]", "Set labels, or remove them with KEY-", "  sallyport sandbox label build team=web old-", cobra.MinimumNArgs(2), func(args []string) (admin.Patch, error) {
		p := admin.Patch{Labels: map[string]*string{}}
		for _, a := range args {
			if k, v, ok := strings.Cut(a, "="); ok && k != "" {
				p.Labels[k] = &v
			} else if k, gone := strings.CutSuffix(a, "-"); gone && k != "" {
				p.Labels[k] = nil
			} else {
				return p, fmt.Errorf("label %q: expected KEY=VALUE, or KEY- to remove it", a)
			}
		}
		return p, nil
	})
}

func sandboxPropCommand(client func() *admin.Client) *cobra.Command {
	return changing(client, "prop NAME KEY=VALUE…", "Set properties; VALUE may be JSON, and null removes one", "  sallyport sandbox prop build 'tenant={\"id\": 7}'", cobra.MinimumNArgs(2), func(args []string) (admin.Patch, error) {
		props, err := parseProps(args)
		return admin.Patch{Props: props}, err
	})
}

func sandboxPolicyCommand(client func() *admin.Client) *cobra.Command {
	return changing(client, "policy NAME POLICY…", "Name the policies that decide, outermost first", "  sallyport sandbox policy build org web", cobra.MinimumNArgs(2), func(args []string) (admin.Patch, error) {
		return admin.Patch{Policy: args}, nil
	})
}

func sandboxModeCommand(client func() *admin.Client) *cobra.Command {
	return changing(client, "mode NAME MODE", "Set the mode: enforce, observe or sealed", "  sallyport sandbox mode build observe", cobra.ExactArgs(2), func(args []string) (admin.Patch, error) {
		return admin.Patch{Mode: &args[0]}, nil
	})
}

func sandboxStateCommand(client func() *admin.Client, verb, state, short string) *cobra.Command {
	return changing(client, verb+" NAME", short, "  sallyport sandbox "+verb+" build", cobra.ExactArgs(1), func([]string) (admin.Patch, error) {
		return admin.Patch{State: &state}, nil
	})
}

func sandboxRemoveCommand(client func() *admin.Client) *cobra.Command {
	return &cobra.Command{Use: "rm NAME", Short: "Revoke a sandbox and forget it", Args: cobra.ExactArgs(1), Example: "  sallyport sandbox rm build", RunE: func(cmd *cobra.Command, args []string) error {
		return client().Remove(cmd.Context(), args[0])
	}}
}

func sandboxWatchCommand(client func() *admin.Client) *cobra.Command {
	return &cobra.Command{Use: "watch", Short: "Print a line of JSON for each change from now on", Args: cobra.NoArgs, Example: "  sallyport sandbox watch | jq .sandbox.name", RunE: func(cmd *cobra.Command, _ []string) error {
		e := json.NewEncoder(cmd.OutOrStdout())
		err := client().Watch(cmd.Context(), func(c admin.Change) error { return e.Encode(c) })
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}}
}

func sandboxLimitCommand(client func() *admin.Client) *cobra.Command {
	return changing(client, "limit NAME KEY=N… [KEY-…]", "Bound connections, requests (under way), rate (requests in a second), tunnel_idle and tunnel_life (times), or leave one to the sidecar's default with KEY-",
		"  sallyport sandbox limit build requests=100 rate=20\n  sallyport sandbox limit build tunnel_idle=1h rate-", cobra.MinimumNArgs(2), func(args []string) (admin.Patch, error) {
			p, err := terms.ParseLimits(args)
			return admin.Patch{Limits: p}, err
		})
}
