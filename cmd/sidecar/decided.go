package sidecar

import (
	"slices"
	"strings"
	"sync"

	"sallyport/policy"
	"sallyport/sandbox"
)

// decided holds what decides for sandboxes, by the names of their policies, so that
// those of the same have the same.
type decided struct {
	mu sync.Mutex
	by map[string]*charter
}

// without is what a change of policies leaves.
func (d *decided) without(names ...string) *decided {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &decided{by: map[string]*charter{}}
	for key, c := range d.by {
		if !slices.ContainsFunc(strings.Fields(key), func(n string) bool { return slices.Contains(names, n) }) {
			out.by[key] = c
		}
	}
	return out
}

// layers are the policies that decide for a sandbox, with the credentials of the
// same plan.
func (p *plan) layers(sb *sandbox.Sandbox) *charter {
	d := p.decided
	d.mu.Lock()
	defer d.mu.Unlock()
	key := strings.Join(sb.Policy, " ")
	if l := d.by[key]; l != nil {
		return l
	}
	var engines []policy.Engine
	for _, n := range sb.Policy {
		pol := p.policies[n]
		if pol == nil && p.feeds[n] != nil {
			engines = append(engines, absent(n))
			continue
		}
		if pol == nil { // no layers deny
			engines = nil
			break
		}
		engines = append(engines, p.shadowed(n, pol))
	}
	if d.by == nil {
		d.by = map[string]*charter{}
	}
	l := &charter{policy.NewLayers(engines...), p.store, p.reach}
	d.by[key] = l
	return l
}
