package sidecar

import (
	"context"
	"sync/atomic"

	"sallyport/credentials"
	"sallyport/proxy"
)

// A keyring is the credentials of the newest configuration. What those before it
// held is still taken out of records and answers: it may be on its way.
type keyring struct {
	held atomic.Pointer[credentials.Store]
	seed []byte // of placeholders
}

var _ proxy.Keeper = (*keyring)(nil)

func (k *keyring) use(s *credentials.Store) {
	s.Seed(k.seed)
	if old := k.held.Load(); old != nil {
		s.Inherit(old)
	}
	k.held.Store(s)
	go s.Warm(context.Background()) // each source bounds how long it is waited for
}

// Grant fetches credentials as a Store does.
func (k *keyring) Grant(ctx context.Context, t credentials.Target, asks []credentials.Ask) (*credentials.Grant, error) {
	return k.held.Load().Grant(ctx, t, asks)
}

// Strip takes a client's own credentials off, as a Store does.
func (k *keyring) Strip(t credentials.Target, r *credentials.Request) ([]string, error) {
	return k.held.Load().Strip(t, r)
}

// Watch finds what is bound to a host, as a Store does.
func (k *keyring) Watch(t credentials.Target) *credentials.Grant { return k.held.Load().Watch(t) }

// RedactString takes known secrets out of a text.
func (k *keyring) RedactString(s string) string { return k.held.Load().RedactString(s) }

// redact takes known secrets out of a record.
func (k *keyring) redact(b []byte) []byte { return k.held.Load().Redact(b) }
