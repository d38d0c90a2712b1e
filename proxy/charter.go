package proxy

import (
	"sallyport/audit"
	"sallyport/sandbox"
)

// A Charter is a Decider with the credentials of its own configuration: who is
// decided for by it is equipped from them and from no others, whatever replaced
// them since. Two of them are the same when they are equal.
type Charter interface {
	Decider
	// Keys holds what Decide can ask for.
	Keys() Keeper
}

// newWard holds together what is of one version. Connections of another policy are
// not used again: it may have asked about their addresses. Nor are those of bindings
// that lead elsewhere now.
func (g *Gate) newWard(sb *sandbox.Sandbox, pol Decider, was *ward) *ward {
	w := &ward{sb: sb, policy: pol, keys: g.srv.cfg.Credentials, reach: g.srv.reachOf(pol), wants: wants(pol)}
	if c, ok := pol.(Charter); ok {
		w.keys = c.Keys()
	}
	if was != nil && was.policy == pol && sb.SameWays(was.sb) {
		w.pools = was.pools
	} else {
		w.pools = newPools(g, pol, w.reach)
	}
	return w
}

// of makes an event that of the sandbox as this ward knows it, which is what was
// decided about.
func (w *ward) of(ev *audit.Event) *audit.Event {
	ev.Sandbox = audit.Sandbox{ID: w.sb.ID, Name: w.sb.Name, Way: string(w.sb.Identity.Way), Labels: w.sb.Labels}
	return ev
}
