package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/google/renameio/v2"

	"sallyport/credentials"
	"sallyport/proxy"
)

// A keyring is the credentials of the newest configuration. What those before it
// held is still taken out of records and answers: it may be on its way.
type keyring struct {
	held atomic.Pointer[credentials.Store]
	seed []byte // of placeholders

	kept    string   // file of those that were revoked; "" keeps them for as long as the process
	revoked []string // by name; one change at a time
}

var _ proxy.Keeper = (*keyring)(nil)

func (k *keyring) use(s *credentials.Store) {
	s.Seed(k.seed)
	for _, n := range k.revoked {
		s.Revoke(n)
	}
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

// Revoked reports whether a credential was revoked.
func (k *keyring) Revoked(name string) bool { return k.held.Load().Revoked(name) }

// openRevoked reads which credentials were revoked before a restart.
func (k *keyring) openRevoked(state string) error {
	k.kept = filepath.Join(state, "revoked.json")
	b, err := os.ReadFile(k.kept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &k.revoked)
	}
	if err != nil {
		return fmt.Errorf("which credentials were revoked is not known: %w", err)
	}
	return nil
}

// mark keeps whether a credential is revoked, before it has an effect.
func (k *keyring) mark(name string, revoked bool) error {
	next := slices.DeleteFunc(slices.Clone(k.revoked), func(n string) bool { return n == name })
	if revoked {
		next = append(next, name)
	}
	if k.kept != "" {
		b, err := json.Marshal(next)
		if err == nil {
			err = renameio.WriteFile(k.kept, b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	k.revoked = next
	return nil
}
