package sidecar

import (
	"sallyport/credentials"
	"sallyport/policy"
	"sallyport/proxy"
)

// A charter is what decides for a sandbox with the credentials, and the ways to
// upstreams, that came in the same configuration.
type charter struct {
	*policy.Layers
	store *credentials.Store
	reach *proxy.Reach
}

var (
	_ proxy.Charter = (*charter)(nil)
	_ proxy.Guide   = (*charter)(nil)
)

// Reach is how upstreams are reached.
func (c *charter) Reach() *proxy.Reach { return c.reach }

// Keys are the credentials that the policies ask for.
func (c *charter) Keys() proxy.Keeper { return c.store }
