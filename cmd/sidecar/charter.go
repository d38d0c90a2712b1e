package sidecar

import (
	"sallyport/credentials"
	"sallyport/policy"
	"sallyport/proxy"
)

// A charter is what decides for a sandbox with the credentials that came in the
// same configuration.
type charter struct {
	*policy.Layers
	store *credentials.Store
}

var _ proxy.Charter = (*charter)(nil)

// Keys are the credentials that the policies ask for.
func (c *charter) Keys() proxy.Keeper { return c.store }
