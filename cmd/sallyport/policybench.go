package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sallyport/policy"
	"sallyport/policy/rego"
	"sallyport/proxy"
)

// A price is what one decision of a policy about one request costs: wall time on
// one thread, the least of several rounds. Kept is that of a decision that was made
// before, and nil when such a one is made anew.
type price struct {
	Policy   string `json:"policy"`
	Request  string `json:"request"`
	Decision string `json:"decision"` // allow, deny
	Steps    int    `json:"steps"`    // expressions, which no machine changes
	New      cost   `json:"new"`
	Kept     *cost  `json:"kept,omitempty"`
}

type cost struct {
	Nanoseconds float64 `json:"ns"`
	Allocs      float64 `json:"allocs"`
	Bytes       float64 `json:"bytes"`
}

func policyBenchCommand() *cobra.Command {
	e := &evaluation{}
	var urls []string
	var asJSON bool
	var most int
	each := 300 * time.Millisecond
	cmd := &cobra.Command{
		Use:   "bench DIR|BUNDLE…",
		Short: "Measure what a decision costs, new and made before",
		Long: `bench asks each policy about each request, again and again, on one thread. A new decision is evaluated; one that was made
before is found by what the policy can read of the request. Steps are the expressions that were evaluated: they are the
same on every machine, so --max-steps is a limit for CI.`,
		Example: `  sallyport policy bench ./policy --url https://api.example.com/v1/items --label team=web
  sallyport policy bench ./policy --max-steps 200 --json`,
		Args: cobra.MinimumNArgs(1),
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&urls, "url", []string{"https://api.example.com/v1/items"}, "ask about a GET of `URL` (repeatable)")
	fl.StringArrayVar(&e.label, "label", nil, "a label of the sandbox `KEY=VALUE` (repeatable)")
	fl.StringArrayVar(&e.prop, "prop", nil, "a property of the sandbox `KEY=VALUE`; VALUE may be JSON (repeatable)")
	fl.StringArrayVarP(&e.header, "header", "H", nil, "a header field `'NAME: VALUE'` (repeatable)")
	fl.DurationVar(&each, "time", each, "how long each is measured")
	fl.IntVar(&most, "max-steps", 0, "fail when a decision takes more than `N` steps")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if each <= 0 || each > time.Minute {
			return fmt.Errorf("--time %v: expected a time up to 1m", each)
		}
		var all []price
		for _, dir := range args {
			for _, u := range urls {
				p, err := e.price(cmd.Context(), dir, u, each)
				if err != nil {
					return err
				}
				all = append(all, *p)
			}
		}
		w := cmd.OutOrStdout()
		if err := printPrices(w, all, asJSON); err != nil {
			return err
		}
		for _, p := range all {
			if most > 0 && p.Steps > most {
				return &exitError{code: 1, err: fmt.Errorf("%s: %s takes %d steps, and --max-steps is %d", p.Policy, p.Request, p.Steps, most)}
			}
		}
		return nil
	}
	return cmd
}

func (e *evaluation) price(ctx context.Context, dir, target string, each time.Duration) (*price, error) {
	fresh, err := rego.Load(ctx, rego.Options{Name: dir, Dir: dir, Uncached: true})
	if err != nil {
		return nil, err
	}
	kept, err := rego.Load(ctx, rego.Options{Name: dir, Dir: dir})
	if err != nil {
		return nil, err
	}
	e.name = "sandbox"
	sb, err := e.sandbox(fresh)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("--url %q: expected one such as https://api.example.com/v1/items", target)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, bytes.NewReader(nil))
	if err != nil {
		return nil, err
	}
	for _, h := range e.header {
		if err := addHeader(r.Header, h); err != nil {
			return nil, err
		}
	}
	q, _, err := proxy.QuestionOf(ctx, sb, fresh, r)
	if err != nil {
		return nil, fmt.Errorf("%s is refused before the policy is asked: %w", target, err)
	}
	d := fresh.Decide(ctx, q)
	if d.Err != nil {
		return nil, fmt.Errorf("%s: %s: %w", dir, target, d.Err)
	}
	out := &price{Policy: dir, Request: "GET " + target, Decision: "deny", Steps: d.Steps}
	if d.Granted() {
		out.Decision = "allow"
	}
	if out.New, err = measured(ctx, fresh, q, each); err != nil {
		return nil, err
	}
	for _, ph := range rego.Inspect(ctx, dir).Phases {
		if ph.Phase == policy.Request && ph.Cached {
			c, err := measured(ctx, kept, q, each)
			if err != nil {
				return nil, err
			}
			out.Kept = &c
		}
	}
	return out, nil
}

// measured asks in rounds, as many as the time allows, and takes the quickest.
func measured(ctx context.Context, p *rego.Policy, q *policy.Question, each time.Duration) (cost, error) {
	n := 1
	round := func() (time.Duration, error) {
		start := time.Now()
		for range n {
			if d := p.Decide(ctx, q); d.Err != nil {
				return 0, d.Err
			}
		}
		return time.Since(start), nil
	}
	for { // rounds of about a tenth of the time
		took, err := round()
		if err != nil {
			return cost{}, err
		}
		if took >= each/10 || n >= 1<<24 {
			break
		}
		n *= 2
	}
	var before, after runtime.MemStats
	var all []time.Duration
	runtime.ReadMemStats(&before)
	for end := time.Now().Add(each); time.Now().Before(end) || len(all) == 0; {
		took, err := round()
		if err != nil {
			return cost{}, err
		}
		all = append(all, took)
		if err := ctx.Err(); err != nil {
			return cost{}, errors.New("interrupted")
		}
	}
	runtime.ReadMemStats(&after)
	asked := float64(n * len(all))
	return cost{float64(slices.Min(all)) / float64(n), float64(after.Mallocs-before.Mallocs) / asked, float64(after.TotalAlloc-before.TotalAlloc) / asked}, nil
}

func printPrices(w io.Writer, all []price, asJSON bool) error {
	if asJSON {
		return printJSON(w, all)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "POLICY\tREQUEST\tDECISION\tSTEPS\tNEW\tALLOCS\tMADE BEFORE\tALLOCS")
	for _, p := range all {
		before, allocs := "not kept", ""
		if p.Kept != nil {
			before, allocs = fmt.Sprintf("%.2f µs", p.Kept.Nanoseconds/1000), fmt.Sprintf("%.0f", p.Kept.Allocs)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%.1f µs\t%.0f\t%s\t%s\n", p.Policy, shown(p.Request), p.Decision, p.Steps, p.New.Nanoseconds/1000, p.New.Allocs, before, allocs)
	}
	return t.Flush()
}
