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

// newWard holds together what is of one version.
func (s *Server) newWard(sb *sandbox.Sandbox, pol Decider) *ward {
	w := &ward{sb: sb, policy: pol, keys: s.cfg.Credentials}
	if c, ok := pol.(Charter); ok {
		w.keys = c.Keys()
	}
	return w
}

// of makes an event that of the sandbox as this ward knows it, which is what was
// decided about.
func (w *ward) of(ev *audit.Event) *audit.Event {
	ev.Sandbox = audit.Sandbox{ID: w.sb.ID, Name: w.sb.Name, Way: string(w.sb.Identity.Way), Labels: w.sb.Labels}
	return ev
}
