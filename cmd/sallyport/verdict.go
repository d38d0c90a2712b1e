package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"sallyport/policy"
	"sallyport/policy/rego"
)

// A verdict is what a policy decides about one request, phase by phase.
type verdict struct {
	Policy   string   `json:"policy"`
	Digest   string   `json:"digest"`
	Request  string   `json:"request"`
	Decision string   `json:"decision"` // allow, deny
	Code     string   `json:"code,omitempty"`
	Public   string   `json:"public,omitempty"`
	Note     string   `json:"note,omitempty"`
	Phases   []answer `json:"phases"` // in the order in which they were asked
}

// An answer is that of one phase.
type answer struct {
	Phase       policy.Phase      `json:"phase"`
	Allow       bool              `json:"allow"`
	Opaque      bool              `json:"opaque,omitempty"`
	WebSocket   bool              `json:"websocket,omitempty"`
	Deny        []denial          `json:"deny,omitempty"`
	Error       string            `json:"error,omitempty"`
	Reasons     []string          `json:"reasons,omitempty"`
	Rules       []rego.RuleAt     `json:"rules"` // that held
	Failed      []rego.Failed     `json:"failed,omitempty"`
	Credentials []string          `json:"credentials,omitempty"`
	Set         map[string]string `json:"set_headers,omitempty"`
	Remove      []string          `json:"remove_headers,omitempty"`
	Patch       []string          `json:"patch_body,omitempty"` // op and path
	Respond     *policy.Respond   `json:"respond,omitempty"`
	Rewrite     *policy.Rewrite   `json:"rewrite,omitempty"`
	Limits      map[string]int64  `json:"limits,omitempty"`
	Quotas      []quota           `json:"quotas,omitempty"`
	Audit       *policy.Audit     `json:"audit,omitempty"`
	Steps       int               `json:"steps"`
	Input       json.RawMessage   `json:"input,omitempty"` // what of the request it could read
}

type denial struct {
	Code     string `json:"code"`
	Public   string `json:"public,omitempty"`
	Operator string `json:"operator,omitempty"`
}

// A quota is how much may pass that is counted by one name.
type quota struct {
	Name        string `json:"name,omitempty"`
	Requests    int64  `json:"requests,omitempty"`
	Per         string `json:"per,omitempty"`
	Burst       int64  `json:"burst,omitempty"`
	Concurrency int64  `json:"concurrency,omitempty"`
}

func quotaOf(q policy.Quota) quota {
	out := quota{Name: q.Name, Requests: q.Requests, Burst: q.Burst, Concurrency: q.Concurrency}
	if q.Per > 0 {
		out.Per = q.Per.String()
	}
	return out
}

func (q quota) String() string {
	s := ""
	if q.Requests > 0 {
		s = fmt.Sprintf(" %d in %s, %d at once", q.Requests, q.Per, q.Burst)
	}
	if q.Concurrency > 0 {
		s += fmt.Sprintf(" %d under way", q.Concurrency)
	}
	if q.Name != "" {
		s += ", counted as " + q.Name
	}
	return s
}

func answerOf(d *policy.Decision) answer {
	a := answer{Phase: d.Phase, Allow: d.Allow, Opaque: d.Opaque, WebSocket: d.WebSocket, Reasons: d.Reasons, Rules: []rego.RuleAt{}, Remove: d.Remove,
		Respond: d.Respond, Rewrite: d.Rewrite, Steps: d.Steps, Input: d.Input}
	for _, x := range d.Deny {
		a.Deny = append(a.Deny, denial(x))
	}
	if d.Err != nil {
		a.Error = d.Err.Error()
	}
	for _, c := range d.Credentials {
		a.Credentials = append(a.Credentials, c.Name)
	}
	for _, h := range d.Set {
		if a.Set == nil {
			a.Set = map[string]string{}
		}
		a.Set[h.Name] = h.Value
	}
	if d.Audit.Level != "" || len(d.Audit.Tags) > 0 {
		a.Audit = &d.Audit
	}
	for _, p := range d.Patch {
		a.Patch = append(a.Patch, p.Op+" "+p.Path)
	}
	for _, q := range d.Quotas {
		a.Quotas = append(a.Quotas, quotaOf(q))
	}
	for k, n := range map[string]int64{"request_bytes": d.Limits.RequestBytes, "response_bytes": d.Limits.ResponseBytes, "seconds": int64(d.Limits.Duration.Seconds())} {
		if n > 0 {
			if a.Limits == nil {
				a.Limits = map[string]int64{}
			}
			a.Limits[k] = n
		}
	}
	return a
}

// conclude makes the decision of a phase that of the whole.
func (v *verdict) conclude(d *policy.Decision, granted bool) {
	if v.Decision, v.Code, v.Public = "allow", "", ""; granted {
		return
	}
	v.Decision, v.Code, v.Public = "deny", policy.CodeDefaultDeny, "no rule allows this"
	if r, refused := d.Refusal(); refused && (d.Err != nil || len(d.Deny) > 0) {
		v.Code, v.Public = r.Code, r.Public
	}
}

func (v *verdict) print(w io.Writer) {
	line := func(format string, a ...any) { fmt.Fprintln(w, shown(fmt.Sprintf(format, a...))) }
	if v.Decision == "allow" {
		line("allow  %s", v.Request)
	} else {
		line("deny   %s: %s (%s)", v.Request, v.Code, v.Public)
	}
	if v.Note != "" {
		line("       %s", v.Note)
	}
	for _, a := range v.Phases {
		line("%s, %d steps", phaseName(a.Phase), a.Steps)
		for _, r := range a.Rules {
			line("  held    %s at %s:%d", r.Rule, r.File, r.Row)
		}
		for _, x := range a.Deny {
			line("  deny    %s", strings.Join(slices.DeleteFunc([]string{x.Code, x.Public, x.Operator}, func(s string) bool { return s == "" }), ": "))
		}
		if a.Error != "" {
			line("  error   %s", a.Error)
		}
		for _, r := range a.Reasons {
			line("  reason  %s", r)
		}
		if v.Decision == "allow" {
			a.edits(line)
		}
		for _, f := range a.Failed {
			line("  failed  %s at %s:%d, in line %d: %s", f.Rule, f.File, f.Row, f.Line, strings.Join(strings.Fields(f.Condition), " "))
			for _, k := range slices.Sorted(maps.Keys(f.Values)) {
				line("            %s is %s", k, f.Values[k])
			}
		}
	}
}

func (a *answer) edits(line func(format string, a ...any)) {
	for _, c := range a.Credentials {
		line("  puts on credential %s", c)
	}
	for _, k := range slices.Sorted(maps.Keys(a.Set)) {
		line("  sets    %s: %s", k, a.Set[k])
	}
	for _, k := range a.Remove {
		line("  removes %s", k)
	}
	for _, p := range a.Patch {
		line("  edits   %s", p)
	}
	for _, k := range slices.Sorted(maps.Keys(a.Limits)) {
		line("  limit   %s %d", k, a.Limits[k])
	}
	for _, q := range a.Quotas {
		line("  limit  %v", q)
	}
	if a.Respond != nil {
		line("  answers by itself: %d %s", a.Respond.Status, a.Respond.Body)
	}
	if a.Rewrite != nil {
		line("  rewrites to scheme %q, host %q, path %q; what is \"\" stays", a.Rewrite.Scheme, a.Rewrite.Host, a.Rewrite.Path)
	}
}

func phaseName(ph policy.Phase) string {
	if ph == policy.Request {
		return "egress"
	}
	return "egress." + string(ph)
}
