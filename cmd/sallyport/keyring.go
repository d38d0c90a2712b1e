package main

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"

	"sallyport/credentials"
	"sallyport/proxy"
)

// A keyring is the credentials of the newest configuration. What the one before
// held is still taken out of records and answers: it may be on its way.
type keyring struct {
	held atomic.Pointer[[2]*credentials.Store]
}

var _ proxy.Keeper = (*keyring)(nil)

func (k *keyring) use(s *credentials.Store) {
	next := [2]*credentials.Store{s}
	if old := k.held.Load(); old != nil {
		next[1] = old[0]
	}
	k.held.Store(&next)
}

// Grant fetches credentials as a Store does.
func (k *keyring) Grant(ctx context.Context, t credentials.Target, names []string) (*credentials.Grant, error) {
	return k.held.Load()[0].Grant(ctx, t, names)
}

// Strip takes a client's own credentials off, as a Store does.
func (k *keyring) Strip(t credentials.Target, h http.Header, u *url.URL) []string {
	return k.held.Load()[0].Strip(t, h, u)
}

// Watch finds what is bound to a host, as a Store does.
func (k *keyring) Watch(t credentials.Target) *credentials.Grant {
	return k.held.Load()[0].Watch(t)
}

// RedactString takes known secrets out of a text.
func (k *keyring) RedactString(s string) string {
	for _, st := range k.held.Load() {
		if st != nil {
			s = st.RedactString(s)
		}
	}
	return s
}

// redact takes known secrets out of a record.
func (k *keyring) redact(b []byte) []byte {
	for _, st := range k.held.Load() {
		if st != nil {
			b = st.Redact(b)
		}
	}
	return b
}
