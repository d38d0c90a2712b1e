package policy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// An Engine answers for one policy. It is safe for concurrent use.
type Engine interface {
	// Decide never returns nil.
	Decide(context.Context, *Question) *Decision
	Has(Phase) bool
	Reads(ph Phase, path ...string) bool
}

// Layers are policies that decide together, such as an organisation's, a team's
// and a sandbox's own: all must allow, any may deny, edits are united, and the
// strictest limit and highest level win. No layers deny. Two pointers to Layers
// are the same policy when they are equal.
type Layers struct{ engines []Engine }

var _ Engine = (*Layers)(nil)

// NewLayers returns policies, outermost first, as one.
func NewLayers(engines ...Engine) *Layers { return &Layers{engines} }

// Has reports whether any layer has rules for a phase.
func (ls *Layers) Has(ph Phase) bool {
	return slices.ContainsFunc(ls.engines, func(e Engine) bool { return e.Has(ph) })
}

// Reads reports whether any layer can read a part of a phase's input.
func (ls *Layers) Reads(ph Phase, path ...string) bool {
	return slices.ContainsFunc(ls.engines, func(e Engine) bool { return e.Reads(ph, path...) })
}

// Decide asks every layer, so that a record has what each of them says.
func (ls *Layers) Decide(ctx context.Context, q *Question) *Decision {
	if len(ls.engines) == 1 {
		return ls.engines[0].Decide(ctx, q)
	}
	all := make([]*Decision, len(ls.engines))
	for i, e := range ls.engines {
		all[i] = e.Decide(ctx, q)
	}
	return unite(q.Phase, all)
}

// unite makes one decision of those of all layers.
func unite(ph Phase, all []*Decision) *Decision {
	out := &Decision{Phase: ph, Allow: len(all) > 0, Opaque: len(all) > 0, WebSocket: len(all) > 0, Cached: len(all) > 0}
	if len(all) == 0 {
		out.Err = fmt.Errorf("no policy decides for this sandbox")
		return out
	}
	set := map[string]string{}
	var names, digests []string
	for _, d := range all {
		names, digests = append(names, d.Policy), append(digests, d.Digest)
		out.Allow, out.Opaque, out.WebSocket = out.Allow && d.Allow, out.Opaque && d.Opaque, out.WebSocket && d.WebSocket
		out.Deny = append(out.Deny, d.Deny...)
		if d.Err != nil && out.Err == nil {
			out.Err = fmt.Errorf("%s: %w", d.Policy, d.Err)
		}
		if d.Respond != nil {
			if out.Respond != nil && !reflect.DeepEqual(out.Respond, d.Respond) {
				out.Err = fmt.Errorf("%s: answers otherwise than the layer before", d.Policy)
			}
			out.Respond = d.Respond
		}
		if d.Rewrite != nil {
			if out.Rewrite != nil && *out.Rewrite != *d.Rewrite {
				out.Err = fmt.Errorf("%s: rewrites otherwise than the layer before", d.Policy)
			}
			out.Rewrite = d.Rewrite
		}
		for _, h := range d.Set {
			if v, twice := set[h.Name]; !twice {
				set[h.Name], out.Set = h.Value, append(out.Set, h)
			} else if v != h.Value {
				out.conflict(h.Name, names)
			}
		}
		out.Remove = append(out.Remove, d.Remove...)
		out.Owned = append(out.Owned, d.Owned...)
		for _, c := range d.Credentials {
			if !slices.ContainsFunc(out.Credentials, func(o Credential) bool { return reflect.DeepEqual(o, c) }) {
				out.Credentials = append(out.Credentials, c)
			}
		}
		out.Limits = out.Limits.Tighter(d.Limits)
		out.Patch = append(out.Patch, d.Patch...)
		for _, q := range d.Quotas {
			out.Quotas = q.Add(out.Quotas)
		}
		out.Reasons = append(out.Reasons, d.Reasons...)
		out.Audit.Tags = append(out.Audit.Tags, d.Audit.Tags...)
		if level(d.Audit.Level) > level(out.Audit.Level) {
			out.Audit.Level = d.Audit.Level
		}
		out.Steps, out.Took, out.Cached = out.Steps+d.Steps, out.Took+d.Took, out.Cached && d.Cached
	}
	out.Remove, out.Owned, out.Audit.Tags = sorted(out.Remove), sorted(out.Owned), sorted(out.Audit.Tags)
	for _, n := range out.Remove {
		if _, both := set[n]; both {
			out.conflict(n, names)
		}
	}
	var clash []string
	if out.Patch, clash = Patches(out.Patch); clash != nil {
		out.Deny = append(out.Deny, Denial{Code: CodeBodyConflict, Public: "rules of the policy disagree on a part of the body", Operator: strings.Join(clash, " and ") + ", in the layers " + strings.Join(names, ", ")})
	}
	slices.SortStableFunc(out.Deny, func(a, b Denial) int { return cmp.Compare(a.Code, b.Code) })
	out.Policy, out.Digest, out.Input = strings.Join(names, "+"), strings.Join(digests, "+"), byName(all, func(d *Decision) []byte { return d.Input })
	out.Reads = byName(all, func(d *Decision) []byte { return d.Reads })
	if out.Err != nil {
		out.Allow, out.Opaque, out.WebSocket = false, false, false
	}
	return out
}

func (d *Decision) conflict(header string, names []string) {
	d.Deny = append(d.Deny, Denial{Code: CodeConflict, Public: "rules of the policy disagree on a header field", Operator: header + ", in the layers " + strings.Join(names, ", ")})
}

func sorted(in []string) []string {
	slices.Sort(in)
	return slices.Compact(in)
}

// Tighter is the smaller of each limit; zero is none.
func (l Limits) Tighter(o Limits) Limits {
	return Limits{least(l.RequestBytes, o.RequestBytes), least(l.ResponseBytes, o.ResponseBytes), least(l.Duration, o.Duration)}
}

func least[N ~int64](a, b N) N {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func level(s string) int { return slices.Index([]string{"metadata", "request", "request_response"}, s) }

// byName is JSON of each layer, by its name.
func byName(all []*Decision, of func(*Decision) []byte) []byte {
	by := map[string]json.RawMessage{}
	for _, d := range all {
		if b := of(d); len(b) > 0 {
			by[d.Policy] = b
		}
	}
	if len(by) == 0 {
		return nil
	}
	b, err := json.Marshal(by)
	if err != nil {
		return nil
	}
	return b
}
