package sidecar

import (
	"context"
	"fmt"
	"time"

	"sallyport/admin"
	"sallyport/credentials"
)

// checkWithin bounds how long all sources together are asked anew.
const checkWithin = 30 * time.Second

// Credentials tells of each, and asks its source.
func (s *sidecar) Credentials(ctx context.Context) []admin.Credential {
	return s.states(ctx, findWithin, false)
}

// CheckCredentials asks each source anew. What is kept goes on to be used where that fails.
func (s *sidecar) CheckCredentials(ctx context.Context) []admin.Credential {
	return s.states(ctx, checkWithin, true)
}

func (s *sidecar) states(ctx context.Context, within time.Duration, anew bool) (out []admin.Credential) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for _, c := range s.keys.held.Load().States(ctx, anew) {
		out = append(out, credentialOf(c))
	}
	return out
}

func credentialOf(c credentials.State) admin.Credential {
	x := admin.Credential{Name: c.Name, Kind: string(c.Kind), Place: c.Place, Source: c.Source, Bind: c.Bind, Where: c.Where, State: admin.CredentialReady, Version: c.Version}
	if !c.Expires.IsZero() {
		x.Expires = &c.Expires
	}
	if c.Err != nil {
		x.State, x.Reason = admin.CredentialUnavailable, c.Err.Error()
	}
	if c.Revoked {
		x.State = admin.CredentialRevoked
	}
	return x
}

// RevokeCredential gives a credential to nobody any more: recorded, kept over a restart,
// then in effect, also on what is open with it.
func (s *sidecar) RevokeCredential(ctx context.Context, a admin.Actor, name string) (admin.Credential, error) {
	return s.changeCredential(ctx, a, name, true)
}

// RotateCredential has a credential fetched anew before it is used again, also
// when it was revoked.
func (s *sidecar) RotateCredential(ctx context.Context, a admin.Actor, name string) (admin.Credential, error) {
	return s.changeCredential(ctx, a, name, false)
}

func (s *sidecar) changeCredential(ctx context.Context, a admin.Actor, name string, gone bool) (out admin.Credential, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	store, action := s.keys.held.Load(), "credential.rotate"
	if gone {
		action = "credential.revoke"
	}
	if !store.Has(name) {
		return out, fmt.Errorf("%w: %q", admin.ErrNoCredential, name)
	}
	if err := s.control(ctx, a, nil, action, map[string]string{"credential": name}); err != nil {
		return out, err
	}
	if err := s.keys.mark(name, gone); err != nil {
		if !gone {
			return out, fmt.Errorf("nothing was changed: %w", err)
		}
		store.Revoke(name)
		s.lookAgain()
		return out, fmt.Errorf("%s is revoked, but a restart would not know: %w", name, err)
	}
	if !gone {
		within, cancel := context.WithTimeout(ctx, findWithin)
		defer cancel()
		st, _ := store.Rotate(within, name)
		return credentialOf(st), nil
	}
	store.Revoke(name)
	s.lookAgain()
	st := store.State(ctx, name)
	return credentialOf(st), nil
}

// lookAgain has everything that is open asked about again.
func (s *sidecar) lookAgain() {
	for _, t := range s.tenants {
		sb := t.gate.Sandbox()
		t.gate.Update(sb, s.plan.Load().layers(sb))
	}
}
