package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"sallyport/policy"
	"sallyport/proxy/views"
	"sallyport/sandbox"
)

// A ward is what is known of a sandbox at one moment, and the policy that
// decides for it then. Whoever began with one stays with it, except that what is
// under way for long is asked about again when there is a newer one.
type ward struct {
	sb     *sandbox.Sandbox
	policy Decider
	keys   Keeper
	reach  *Reach
	pools  *pools
	wants  views.Wants // what of bodies the policy can read
}

// wants is what a policy can read of a body, in whichever phase.
func wants(d Decider) (w views.Wants) {
	reads := func(field string) bool {
		return slices.ContainsFunc([]policy.Phase{policy.Request, policy.Dial, policy.Response, policy.Message}, func(ph policy.Phase) bool {
			return d.Reads(ph, "request", field)
		})
	}
	w.Body = reads("body")
	for field, v := range map[string]policy.View{"form": policy.ViewForm, "multipart": policy.ViewMultipart, "graphql": policy.ViewGraphQL, "rpc": policy.ViewRPC} {
		if reads(field) {
			w.View |= v
		}
	}
	return w
}

// stopped is why nothing passes whatever policy says, or nil.
func (w *ward) stopped() *Refusal {
	switch {
	case w.sb.Revoked:
		return refuse(http.StatusForbidden, "revoked", "this sandbox may not reach anything any more").closing()
	case w.sb.Paused:
		return refuse(http.StatusForbidden, "paused", "this sandbox is paused").closing()
	}
	return nil
}

// verdict is what a decision comes to: would names what observing lets pass.
func (w *ward) verdict(d *policy.Decision) (would string, ref *Refusal) {
	if len(d.Deny) == 0 && d.Err == nil && d.Respond != nil {
		return "", nil
	}
	ref = refusalOfDecision(d)
	if ref != nil && ref.Code == policy.CodeDefaultDeny && d.Err == nil && w.sb.Mode == sandbox.Observe {
		return ref.Code, nil
	}
	return "", ref
}

// A live is something under way that a change can end.
type live struct {
	again func(*ward) *Refusal // would it be refused now?
	cut   context.CancelCauseFunc

	mu   sync.Mutex
	over bool // there is nothing left to cut
}

// follow has something looked at again with each change, until the returned
// function is called. What began before a change that it did not see is looked
// at at once.
func (g *Gate) follow(l *live, began *ward) (stop func()) {
	g.mu.Lock()
	g.live[l] = struct{}{}
	g.mu.Unlock()
	if now := g.ward.Load(); now != began {
		l.look(now)
	}
	return func() {
		g.mu.Lock()
		delete(g.live, l)
		g.mu.Unlock()
		l.mu.Lock()
		l.over = true
		l.mu.Unlock()
	}
}

func (l *live) look(w *ward) {
	ref := w.stopped()
	if ref == nil {
		ref = l.again(w)
	}
	if ref == nil {
		return
	}
	ref.Close = true
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.cut(&endedError{ref})
	}
}

// Update replaces what is known of the sandbox and the policy that decides for
// it. What is under way and would be refused now is cut before Update returns;
// what was asked before, and would be allowed, goes on.
func (g *Gate) Update(sb *sandbox.Sandbox, pol Decider) {
	was := g.ward.Load()
	now := g.newWard(sb, pol, was)
	g.ward.Store(now)
	if now.pools != was.pools {
		was.pools.close()
	}
	g.mu.Lock()
	all := make([]*live, 0, len(g.live))
	for l := range g.live {
		all = append(all, l)
	}
	g.mu.Unlock()
	for _, l := range all {
		l.look(now)
	}
}

// An endedError is why something under way was cut: a change of the sandbox or
// of its policy.
type endedError struct{ ref *Refusal }

func (e *endedError) Error() string { return "ended by a change: " + e.ref.Error() }

// code is what records call it: revoked, paused, or a change of what is allowed.
func (e *endedError) code() string {
	if e.ref.Code == "revoked" || e.ref.Code == "paused" {
		return e.ref.Code
	}
	return "policy_changed"
}

// ended returns why a context was cut, if it was a change.
func ended(ctx context.Context) *endedError {
	var e *endedError
	if ctx != nil && errors.As(context.Cause(ctx), &e) {
		return e
	}
	return nil
}
