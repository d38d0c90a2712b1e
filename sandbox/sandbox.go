// Package sandbox knows which sandboxes exist and what is said of each.
package sandbox

import (
	"slices"
	"time"

	"sallyport/dest"
)

// A Way is how a sandbox's traffic comes in.
type Way string

const (
	WayRun      Way = "run"      // a command that sallyport sealed itself
	WayJoin     Way = "join"     // a container that sealed its own namespace
	WayGateway  Way = "gateway"  // a link that sallyport made, on which it is the router
	WayAttach   Way = "attach"   // a namespace that somebody else made, sealed by sallyport
	WayExplicit Way = "explicit" // a proxy that the client was told of
)

// Lasts reports whether a sandbox that comes in like this outlives its namespace:
// another may be enrolled.
func (w Way) Lasts() bool { return w == WayJoin || w == WayAttach || w == WayGateway }

// A Mode says what a sandbox's missing grant means. The zero Mode enforces.
type Mode string

const (
	Enforce Mode = "enforce" // what no rule allows is refused
	Observe Mode = "observe" // what no rule allows passes and is recorded; everything else refuses as ever
	Sealed  Mode = "sealed"  // nothing exists but bindings
)

// An Identity says why a connection is believed to be a sandbox's. It is taken
// from the socket that the connection came on, never from what was sent.
type Identity struct {
	Way  Way
	Peer string // the namespace, link or certificate; empty when the way says all
}

// A Binding is a resource that exists only inside a sandbox: a name, and where
// it leads. An HTTP binding carries a scheme; a raw one carries bytes.
type Binding struct {
	Host         dest.Host // the name inside
	Port         uint16    // the port inside; 0 for an HTTP binding means 80 and 443
	Target       dest.Addr // where it leads; may be an address that is not public
	TargetScheme string    // "http", "https", or "" for raw TCP
	PathPrefix   string    // put before the path of an HTTP request; "" or "/x" without a slash at the end
	Credential   string    // put on every request of it, whatever policy asks for; "" is none
	AsInside     bool      // the target's Host is the name inside
	TLS          *TLS
}

// Same reports whether two say the same.
func (b Binding) Same(o Binding) bool {
	same := b.TLS.Key() == o.TLS.Key()
	b.TLS, o.TLS = nil, nil
	return same && b == o
}

// SameBindings reports whether two lists say the same.
func SameBindings(a, b []Binding) bool { return slices.EqualFunc(a, b, Binding.Same) }

// A Sandbox is one tenant of the gate. Values that registries hand out are
// copies: they may be read from any goroutine and are not to be changed.
type Sandbox struct {
	ID       string // UUIDv7, chosen by us
	Name     string // chosen by the operator; unique
	Labels   map[string]string
	Props    map[string]any // JSON values; the policy sees them
	Policy   []string       // names of its policies, outermost first; empty means the default one
	Mode     Mode
	Identity Identity
	Bindings []Binding
	Vias     []Via // for what is no binding
	Limits   Limits
	Created  time.Time
	Paused   bool // nothing passes until it is resumed
	Revoked  bool // nothing passes ever again
}

// Binding returns the binding for a name and port inside, if there is one.
func (s *Sandbox) Binding(a dest.Addr) (Binding, bool) {
	for _, b := range s.Bindings {
		if b.Host != a.Host() {
			continue
		}
		if b.Port == a.Port() || b.Port == 0 && b.TargetScheme != "" && (a.Port() == 80 || a.Port() == 443) {
			return b, true
		}
	}
	return Binding{}, false
}

// Binds reports whether a name leads anywhere by a binding or a via, on any port.
func (s *Sandbox) Binds(h dest.Host) bool {
	for _, b := range s.Bindings {
		if b.Host == h {
			return true
		}
	}
	for _, v := range s.Vias {
		if v.Match.Match(dest.NewAddr(h, max(v.Match.Port(), 1))) {
			return true
		}
	}
	return false
}
