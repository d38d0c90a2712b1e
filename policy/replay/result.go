package replay

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sallyport/audit"
	"sallyport/policy"
)

// A Result is what would be decided otherwise.
type Result struct {
	Decisions   int            `json:"decisions"` // that were asked again
	Same        int            `json:"same"`
	Denied      int            `json:"denied"`      // were allowed, and would not be
	Allowed     int            `json:"allowed"`     // were denied, and would not be
	Changed     int            `json:"changed"`     // as before, but for what goes with it
	Undecidable int            `json:"undecidable"` // the record does not have what the candidate would look at
	Observed    int            `json:"observed"`    // of all, those that only mode observe let pass
	Left        map[string]int `json:"left"`        // records of decisions that were not asked again, by the reason
	Groups      []*Group       `json:"groups"`      // of what is not the same, the largest first
	Rest        int            `json:"rest"`        // that are in no group, since there were too many of them

	examples int
	by       map[Group]*Group
}

// A Group is what came out alike.
type Group struct {
	Kind     string       `json:"kind"` // denied, allowed, changed, undecidable
	Phase    policy.Phase `json:"phase"`
	Host     string       `json:"host"`
	Method   string       `json:"method"`
	Was      string       `json:"was"`  // the effect that was recorded, with its code
	Now      string       `json:"now"`  // the candidate's; "" where it cannot say
	Rule     string       `json:"rule"` // that makes the difference, with its place
	What     string       `json:"what"` // of changed, what is otherwise; of undecidable, what is not known, and why
	Count    int          `json:"count"`
	Examples *[]Example   `json:"examples"`
}

// An Example is one decision of a group.
type Example struct {
	ID      string `json:"id"`
	Time    string `json:"time"`
	Sandbox string `json:"sandbox"`
	Target  string `json:"target"`
}

// maxGroups bounds what a log can make of a result.
const maxGroups = 1000

// Kinds of groups.
const (
	Denied      = "denied"
	Allowed     = "allowed"
	Changed     = "changed"
	Undecidable = "undecidable"
)

func newResult(examples int) *Result {
	return &Result{Left: map[string]int{}, Groups: []*Group{}, examples: cmp.Or(examples, 2), by: map[Group]*Group{}}
}

// Flips is how many would pass that did not, or the other way round.
func (r *Result) Flips() int { return r.Denied + r.Allowed }

func (r *Result) skip(why string, e audit.Entry) { r.Left[why]++ }

// compare holds an outcome against what was recorded.
func (r *Result) compare(a *Asked, o *outcome) {
	if a.Would != "" {
		r.Observed++
	}
	was := strings.TrimSpace(a.Effect + " " + a.Code)
	if o.gap != nil {
		r.Undecidable++
		g := o.gap
		r.group(a, Group{Kind: Undecidable, Was: was, Rule: place(g.File, g.Row), What: g.Path + " is " + g.Why})
		return
	}
	effect, code := a.effect(o.now)
	now := strings.TrimSpace(effect + " " + code)
	switch was, now := passes(a.Effect), passes(effect); {
	case was && !now:
		r.Denied++
	case !was && now:
		r.Allowed++
	}
	switch {
	case passes(a.Effect) != passes(effect):
		kind := Allowed
		if passes(a.Effect) {
			kind = Denied
		}
		r.group(a, Group{Kind: kind, Was: was, Now: now, Rule: o.rule})
		return
	}
	if what := differences(a, o, effect, code); what != "" {
		r.Changed++
		r.group(a, Group{Kind: Changed, Was: was, Now: now, What: what})
		return
	}
	r.Same++
}

// group counts one more of a group.
func (r *Result) group(a *Asked, g Group) {
	g.Phase, g.Host, g.Method = a.Phase, a.Host, a.Method
	at := r.by[g]
	if at == nil {
		if len(r.by) >= maxGroups {
			r.Rest++
			return
		}
		key := g
		at = &g
		at.Examples = &[]Example{}
		r.by[key] = at
		r.Groups = append(r.Groups, at)
	}
	at.Count++
	if len(*at.Examples) < r.examples {
		*at.Examples = append(*at.Examples, Example{a.ID, a.At.UTC().Format("2006-01-02T15:04:05Z"), a.Sandbox, a.target()})
	}
}

// target is what was asked for, for people.
func (a *Asked) target() string {
	switch a.Phase {
	case policy.DNS:
		return a.Host + " " + a.Method
	case policy.Connect:
		return fmt.Sprintf("tcp://%s:%d", a.Host, a.Port)
	}
	return fmt.Sprintf("%s %s://%s:%d%s", a.Method, a.Scheme, a.Host, a.Port, a.Path)
}

// sort puts the largest groups first; equal ones stand in order of what they are.
func (r *Result) sort() {
	text := func(g *Group) string {
		return strings.Join([]string{g.Kind, string(g.Phase), g.Host, g.Method, g.Was, g.Now, g.Rule, g.What}, "\x00")
	}
	slices.SortFunc(r.Groups, func(a, b *Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(text(a), text(b)))
	})
}

func place(file string, row int) string {
	if file == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", file, row)
}

// passes reports whether what has an effect was no refusal.
func passes(effect string) bool { return effect == "allow" || effect == "respond" }

// effect is what would come of a decision, and the code of a refusal.
func (a *Asked) effect(d *policy.Decision) (effect, code string) {
	switch {
	case d.Err != nil && len(d.Deny) == 0:
		return "error", policy.CodePolicyError
	case len(d.Deny) > 0:
		return "deny", d.Deny[0].Code
	case d.Respond != nil:
		return "respond", ""
	case a.Phase == policy.Message || a.Phase == policy.Dial || a.Phase == policy.Response: // only deny counts
		return "allow", ""
	}
	granted := d.Granted()
	if v, _ := a.Kept.Get("destination", "protocol"); a.Phase == policy.Connect && v != "tls" {
		granted = granted && d.Opaque
	}
	if granted && (!a.websocket || d.WebSocket) {
		return "allow", ""
	}
	return "deny", policy.CodeDefaultDeny
}

// differences are what goes with a decision that is otherwise the same: what a record
// has of it, and beyond that what the old policy says.
func differences(a *Asked, o *outcome, effect, code string) string {
	var out []string
	differ := func(what string, otherwise bool) {
		if otherwise {
			out = append(out, what)
		}
	}
	d := o.now
	differ("effect", effect != a.Effect)
	differ("code", effect == a.Effect && code != a.Code && !passes(effect))
	if passes(effect) && effect == a.Effect {
		var names []string
		for _, c := range d.Credentials {
			names = append(names, c.Name)
		}
		slices.Sort(names)
		differ("credentials", a.Named && effect == "allow" && !slices.Equal(slices.Compact(names), a.Names))
	}
	if a.whole && passes(effect) {
		tags := slices.Clone(a.Tags)
		slices.Sort(tags)
		now := slices.Clone(d.Audit.Tags)
		slices.Sort(now)
		differ("tags", !slices.Equal(slices.Compact(now), slices.Compact(tags)))
	}
	if was := o.old; was != nil && passes(effect) {
		differ("credential parameters", len(was.Credentials) == len(d.Credentials) && !reflect.DeepEqual(was.Credentials, d.Credentials))
		differ("set_headers", !reflect.DeepEqual(was.Set, d.Set))
		differ("remove_headers", !slices.Equal(was.Remove, d.Remove))
		differ("headers taken from the client", !slices.Equal(was.Owned, d.Owned))
		differ("rewrite", !reflect.DeepEqual(was.Rewrite, d.Rewrite))
		differ("respond", !reflect.DeepEqual(was.Respond, d.Respond))
		differ("limits", was.Limits != d.Limits || !sameQuotas(was.Quotas, d.Quotas))
		differ("audit level", was.Audit.Level != d.Audit.Level)
	}
	return strings.Join(out, ", ")
}

// sameQuotas compares quotas but for the policies that have them.
func sameQuotas(a, b []policy.Quota) bool {
	return slices.EqualFunc(a, b, func(a, b policy.Quota) bool {
		a.Policy, a.Version, b.Policy, b.Version = "", "", "", ""
		return a == b
	})
}
