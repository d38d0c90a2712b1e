// Package replay asks recorded decisions again, of policies that did not make them.
package replay

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/audit"
	"sallyport/policy"
	"sallyport/policy/rego"
)

// Options of a replay. Policies are required.
type Options struct {
	Policies []*rego.Policy // the candidate: more than one are layers, outermost first
	// Old are the policies that decided then, to compare edits and limits too, which
	// records do not have. What another decided is compared without.
	Old []*rego.Policy
	// Wall are the codes of refusals that no policy makes.
	Wall     []string
	Sandbox  string // name or id; "" is all
	Read     audit.ReadOptions
	Examples int // of each group
	// Decided is told, now and then, how many decisions were asked again.
	Decided func(n int)
}

// maxRemembered is how many answers are kept, for what is asked often.
const maxRemembered = 4096

// maxTraces is for how many answers the rules that made them are looked for.
const maxTraces = 2000

// A run is one replay.
type run struct {
	o      Options
	wall   map[string]bool
	known  map[[sha256.Size]byte]*outcome
	traces int
	out    *Result
}

// An outcome is what the candidate makes of something that was asked.
type outcome struct {
	now  *policy.Decision
	gap  *rego.Gap
	old  *policy.Decision // by Options.Old; nil when that is not known
	rule string           // that made it; "" when that was not looked for
}

// Run asks every decision of a log again, in constant memory.
func Run(ctx context.Context, log string, o Options) (*Result, error) {
	r := &run{o: o, wall: map[string]bool{}, known: map[[sha256.Size]byte]*outcome{}, out: newResult(o.Examples)}
	for _, c := range o.Wall {
		r.wall[c] = true
	}
	o.Read.Only = Decisions
	err := audit.Read(ctx, log, o.Read, func(e audit.Entry) error {
		r.entry(ctx, e)
		if o.Decided != nil && r.out.Decisions%1024 == 0 {
			o.Decided(r.out.Decisions)
		}
		return nil
	})
	r.out.sort()
	return r.out, err
}

// entry takes one record.
func (r *run) entry(ctx context.Context, e audit.Entry) {
	if r.o.Sandbox != "" && e.Str("sandbox.name") != r.o.Sandbox && e.Str("sandbox.id") != r.o.Sandbox {
		return
	}
	a, why := AskedOf(e, r.wall)
	if why == NoDecision {
		return
	}
	if why != "" {
		r.out.skip(why, e)
		return
	}
	r.out.Decisions++
	r.out.compare(a, r.outcome(ctx, a))
}

// outcome asks the candidate, or remembers what it said.
func (r *run) outcome(ctx context.Context, a *Asked) *outcome {
	key, keep := r.key(a)
	if o := r.known[key]; keep && o != nil {
		return o
	}
	o := &outcome{}
	o.now, o.gap = ask(ctx, r.o.Policies, a)
	if len(r.o.Old) > 0 && digests(r.o.Old) == a.Digest {
		if d, gap := ask(ctx, r.o.Old, a); gap == nil {
			o.old = d
		}
	}
	if o.gap == nil && r.traces < maxTraces {
		if effect, _ := a.effect(o.now); passes(effect) != passes(a.Effect) {
			r.traces++
			o.rule = ruleOf(ctx, r.o.Policies, a, effect)
		}
	}
	if keep {
		if len(r.known) >= maxRemembered {
			clear(r.known)
		}
		r.known[key] = o
	}
	return o
}

// key is what an outcome depends on.
func (r *run) key(a *Asked) (key [sha256.Size]byte, keep bool) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%t\x00%s\x00", a.Phase, a.Effect, a.websocket, a.Digest)
	for _, p := range slices.Concat(r.o.Policies, r.o.Old) {
		s, ok := p.Depends(a.Phase, a.Kept)
		if !ok {
			return key, false
		}
		fmt.Fprintf(h, "%d\x00%s", len(s), s)
	}
	return [sha256.Size]byte(h.Sum(nil)), true
}

// ask asks layers about what was asked before. Where one of them cannot say, another
// that denies is enough.
func ask(ctx context.Context, ps []*rego.Policy, a *Asked) (*policy.Decision, *rego.Gap) {
	var said []policy.Engine
	var gap *rego.Gap
	refused := false
	for _, p := range ps {
		d, g := p.Again(ctx, a.Phase, a.Kept, a.At)
		if g != nil {
			gap = g
			continue
		}
		said = append(said, fixed{d})
		refused = refused || d.Err != nil || len(d.Deny) > 0
	}
	if gap != nil && !refused {
		return nil, gap
	}
	return policy.NewLayers(said...).Decide(ctx, &policy.Question{Phase: a.Phase}), nil
}

// fixed is a policy that has answered already.
type fixed struct{ d *policy.Decision }

// Decide returns the answer.
func (f fixed) Decide(context.Context, *policy.Question) *policy.Decision { return f.d }

// Has reports that there are rules.
func (fixed) Has(policy.Phase) bool { return true }

// Reads reports that nothing is read any more.
func (fixed) Reads(policy.Phase, ...string) bool { return false }

func digests(ps []*rego.Policy) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Digest())
	}
	return strings.Join(out, "+")
}

// ruleOf names the rules that made an answer: those that grant it, or that deny it.
func ruleOf(ctx context.Context, ps []*rego.Policy, a *Asked, effect string) string {
	verb := map[string]string{"allow": "allow", "respond": "respond"}[effect]
	if verb == "" {
		verb = "deny"
	}
	var out []string
	for _, p := range ps {
		t, err := p.TraceAgain(ctx, a.Phase, a.Kept, a.At)
		if err != nil || t == nil {
			continue
		}
		for _, h := range t.Held {
			if strings.HasPrefix(h.Rule, "egress") && h.Rule[strings.LastIndexByte(h.Rule, '.')+1:] == verb && len(out) < 4 {
				out = append(out, fmt.Sprintf("%s at %s:%d", h.Rule, h.File, h.Row))
			}
		}
	}
	return strings.Join(out, ", ")
}

// since is the time of a record; the zero time when it has none.
func since(e audit.Entry) time.Time {
	at, err := time.Parse(time.RFC3339Nano, e.Str("@timestamp"))
	if err != nil {
		return time.Time{}
	}
	return at
}
