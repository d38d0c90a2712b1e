package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/policy"
)

// A shadowGroup is what a candidate says otherwise, alike.
type shadowGroup struct {
	Policy    string `json:"policy"`
	Candidate string `json:"candidate"`
	Kind      string `json:"kind"` // denied, allowed, changed
	Phase     string `json:"phase"`
	Host      string `json:"host"`
	Method    string `json:"method"`
	Was       string `json:"was"`
	Now       string `json:"now"` // with the code of the rule that refuses
	Differs   string `json:"differs,omitempty"`
}

// A shadowCount is how often, and one of them.
type shadowCount struct {
	shadowGroup
	Count int    `json:"count"`
	ID    string `json:"id"` // of a record
}

// maxShadowGroups bounds what a log can make of a summary.
const maxShadowGroups = 1000

func policyShadowCommand() *cobra.Command {
	var l logReader
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "shadow [flags] [LOG]",
		Short: "Sum up what the candidates beside policies would have decided otherwise",
		Long: `shadow reads the records of what a shadow, which the configuration names beside a policy, would have decided otherwise, and sums
them up by policy, rule, host and method. LOG is a directory, or a file of it; without one it is that of the newest run. The exit code is 0 when
there are none, 1 when there are some, and 2 when there is no answer.`,
		Example: `  sallyport policy shadow /var/lib/sallyport/audit
  sallyport policy shadow --since 24h --json /var/lib/sallyport/audit | jq '.[] | select(.kind == "denied")'`,
		Args: cobra.MaximumNArgs(1),
	}
	l.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		fail := func(err error) error { return &exitError{code: codeNoAnswer, err: err} }
		dir, err := logDir(args)
		if err == nil {
			err = l.open(cmd.ErrOrStderr())
		}
		if err != nil {
			return fail(err)
		}
		l.o.Only = []audit.Name{audit.PolicyShadow}
		by, rest, lost := map[shadowGroup]*shadowCount{}, 0, int64(0)
		err = audit.Read(cmd.Context(), dir, l.o, func(e audit.Entry) error {
			if l.sandbox != "" && e.Str("sandbox.name") != l.sandbox && e.Str("sandbox.id") != l.sandbox {
				return nil
			}
			g := shadowGroup{e.Str("detail.policy"), e.Str("policy.name"), e.Str("detail.kind"), e.Str("policy.phase"), cmp.Or(e.Str("url.domain"), e.Str("dns.question.name")), cmp.Or(e.Str("http.request.method"), e.Str("dns.question.type")),
				strings.TrimSpace(e.Str("detail.was") + " " + e.Str("detail.was_code")), strings.TrimSpace(e.Str("policy.decision") + " " + e.Str("policy.code")), e.Str("detail.differs")}
			lost += e.Int("event.lost")
			c := by[g]
			if c == nil {
				if len(by) >= maxShadowGroups {
					rest++
					return nil
				}
				c = &shadowCount{shadowGroup: g, ID: e.Str("event.id")}
				by[g] = c
			}
			c.Count++
			return nil
		})
		l.meter.clear()
		if err != nil {
			return fail(err)
		}
		all := []*shadowCount{}
		for _, c := range by {
			all = append(all, c)
		}
		slices.SortFunc(all, func(a, b *shadowCount) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(fmt.Sprint(a.shadowGroup), fmt.Sprint(b.shadowGroup)))
		})
		w := cmd.OutOrStdout()
		if asJSON {
			err = printJSON(w, all)
		} else {
			for _, c := range all {
				fmt.Fprintln(w, shown(fmt.Sprintf("%10s %s → %s: %s %s %s: was %s, would be %s %s", grouped(c.Count), c.Policy, c.Candidate, phaseName(policy.Phase(c.Phase)), c.Method, c.Host, c.Was, c.Now, c.Differs)))
			}
			if rest > 0 {
				fmt.Fprintf(w, "%10s of other kinds than those\n", grouped(rest))
			}
			if lost > 0 {
				fmt.Fprintf(w, "%10s more were counted and not recorded\n", grouped(int(lost)))
			}
		}
		if err == nil && len(all) > 0 {
			return &exitError{code: 1}
		}
		return err
	}
	return cmd
}
