package main

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/admin"
)

func statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how a sidecar is, and why it is not ready",
		Long:  "status exits with 1 when the sidecar is not ready.",
		Example: `  sallyport status
  sallyport status --json | jq .confinement
  sallyport status --control /run/sallyport/control.sock`,
		Args: cobra.NoArgs,
	}
	client := controlFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c := client()
		st, err := c.Status(cmd.Context())
		if err != nil {
			return err
		}
		if asJSON {
			err = printJSON(cmd.OutOrStdout(), st)
		} else {
			all, missing := c.List(cmd.Context(), nil)
			if missing != nil {
				all = nil // their number is in the status
			}
			err = printStatus(cmd.OutOrStdout(), st, all, time.Now())
		}
		if err != nil {
			return err
		}
		if !st.Ready {
			return &exitError{code: 1}
		}
		return nil
	}
	return cmd
}

// printStatus writes a status as people read it. all are the sandboxes, when they
// are known.
func printStatus(w io.Writer, st admin.Status, all []admin.Sandbox, now time.Time) error {
	head, why := "not ready", "because"
	if st.Ready {
		head, why = "ready", "but"
	}
	var b strings.Builder
	fmt.Fprintln(&b, head)
	row := func(name, format string, a ...any) {
		fmt.Fprintf(&b, "  %-12s %s\n", name, clean(fmt.Sprintf(format, a...)))
	}
	for _, r := range st.Reasons {
		for i, line := range strings.Split(r, "\n") {
			row([]string{why, ""}[min(i, 1)], "%s", line)
		}
	}
	row("since", "%s, for %s", zulu(st.Started), span(now.Sub(st.Started)))
	row("version", "%s", st.Version)
	row("sandboxes", "%s", byState(st.Sandboxes, all))
	row("limits", "%d connections and %d requests under way for a sandbox%s%s", st.Limits.Connections, st.Limits.Requests, rateOf(st.Limits), tunnelsOf(st.Limits))
	var names []string
	for _, p := range st.Policies {
		names = append(names, p.Name)
	}
	row("policies", "%s", listed(names))
	for _, p := range st.Policies {
		if p.Bundle != nil {
			row("bundle", "%s", bundleOf(p, now))
		}
	}
	row("credentials", "%s", listed(st.Credentials))
	for _, x := range st.Sinks {
		row("sink", "%s, %s", x.Name, sinkOf(x, now))
	}
	for _, r := range st.Resolvers {
		row("resolver", "%s, asked %d times, %d without an answer", r.Server, r.Asked, r.Failed)
	}
	for _, p := range st.Parents {
		row("parent", "%s", p)
	}
	row("CA", "%s", caOf(st, now))
	row("log", "%s", st.Audit)
	row("confined", "%s", confinedOf(st.Confinement))
	for _, n := range st.Confinement.Notes {
		row("note", "%s", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// byState counts sandboxes, such as 3: 2 active, 1 paused.
func byState(n int, all []admin.Sandbox) string {
	count := map[string]int{}
	for _, s := range all {
		count[s.State]++
	}
	var parts []string
	for _, state := range []string{admin.Active, admin.Paused, admin.Revoked} {
		if count[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[state], state))
		}
	}
	if n == 0 && len(parts) == 0 {
		return "none"
	}
	if len(parts) == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d: %s", len(all), strings.Join(parts, ", "))
}

// tunnelsOf is how long tunnels may be, where it is not the default.
func tunnelsOf(l admin.Limits) (s string) {
	for _, t := range []struct {
		n    int
		said string
	}{{l.TunnelIdle, "idle"}, {l.TunnelLife, "open"}} {
		if t.n > 0 {
			s += fmt.Sprintf(", tunnels %s for %s at most", t.said, span(time.Duration(t.n)*time.Second))
		}
	}
	return s
}

func rateOf(l admin.Limits) string {
	if l.Rate == 0 {
		return ""
	}
	return fmt.Sprintf(", %d requests in a second", l.Rate)
}

func listed(names []string) string {
	return cmp.Or(strings.Join(names, ", "), "none")
}

// caOf says until when the CA is good, and which lead to it.
func caOf(st admin.Status, now time.Time) string {
	b, _ := pem.Decode([]byte(st.CA))
	if b == nil {
		return "not known"
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return "not known: " + err.Error()
	}
	s := "good until " + zulu(c.NotAfter)
	if left := c.NotAfter.Sub(now); left <= 0 {
		s = "ended on " + zulu(c.NotAfter)
	} else {
		s += ", for " + span(left)
	}
	switch len(st.Older) {
	case 0:
		return s
	case 1:
		return s + "; 1 older one leads to it"
	}
	return fmt.Sprintf("%s; %d older ones lead to it", s, len(st.Older))
}

// confinedOf is what the sidecar may, in a line.
func confinedOf(c admin.Confinement) string {
	parts := []string{fmt.Sprintf("user %d", c.UID), "no capabilities"}
	if held := append(append([]string{}, c.Capabilities.Effective...), c.Capabilities.Permitted...); len(held) > 0 {
		parts[1] = "CAPABILITIES " + strings.Join(held, " ")
	}
	if !c.NoNewPrivs {
		parts = append(parts, "CAN GET PRIVILEGES")
	}
	parts = append(parts, "seccomp "+c.Seccomp)
	if c.Landlock.Enforced {
		parts = append(parts, "Landlock on")
	} else {
		parts = append(parts, "Landlock off ("+cmp.Or(c.Landlock.Reason, "the kernel has none")+")")
	}
	return strings.Join(parts, ", ")
}

func zulu(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }

// span is a duration in the two largest units that tell something.
func span(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// sinkOf is how a sink is, in words.
func sinkOf(x admin.Sink, now time.Time) string {
	s := fmt.Sprintf("%s: has %d records, %d wait", x.Receiver, x.Sent, x.Behind)
	if x.Rejected > 0 {
		s += fmt.Sprintf(", %d not taken", x.Rejected)
	}
	if x.Error != "" && x.Since != nil {
		s += fmt.Sprintf("; gets none for %s: %s", span(now.Sub(*x.Since)), x.Error)
	}
	return s
}
