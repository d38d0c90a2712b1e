package credentials

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A State is what may be told of a credential: never its value.
type State struct {
	Name          string
	Kind          Kind
	Place, Source string
	Bind          string // https://HOST:PORT
	Where         string // all that has to hold, in words
	Version       string
	Expires       time.Time // zero is never
	Revoked       bool
	Err           error // why it is not available now, without known secrets; nil when it is
}

// States asks each source, and tells of all in the order of their bindings. With
// anew, what is kept of a source does not count.
func (s *Store) States(ctx context.Context, anew bool) []State {
	out := make([]State, len(s.bindings))
	var wg sync.WaitGroup
	for i := range s.bindings {
		wg.Go(func() { out[i] = s.state(ctx, &s.bindings[i], anew) })
	}
	wg.Wait()
	return out
}

func (s *Store) state(ctx context.Context, b *Binding, anew bool) State {
	st := State{Name: b.Name, Kind: b.Place.Kind, Place: b.Place.String(), Source: b.Source.String(), Bind: b.Bind.String(), Where: b.Bind.Describe(), Revoked: s.Revoked(b.Name)}
	if st.Revoked {
		st.Err = errors.New(revokedWhy(b.Name))
		return st
	}
	ask := b.Source.Fetch
	if h, ok := b.Source.(*Held); ok && anew {
		ask = h.Try
	}
	v, err := ask(ctx, nil)
	if err != nil {
		st.Err = fmt.Errorf("%s", s.RedactString(err.Error()))
		return st
	}
	st.Version, st.Expires = v.Version, v.Expires
	s.learn(b, nil, v)
	return st
}

func revokedWhy(name string) string {
	return fmt.Sprintf("it was revoked: sallyport credential rotate %s gives a new one", name)
}

// Revoke gives a credential to nobody any more, until Rotate. It reports whether
// there is one of this name.
func (s *Store) Revoke(name string) bool { return s.revoke(name, true) }

// Rotate has a credential fetched anew before it is used again, also when it was
// revoked, and returns its state then.
func (s *Store) Rotate(ctx context.Context, name string) (State, bool) {
	if !s.revoke(name, false) {
		return State{}, false
	}
	return s.state(ctx, s.binding(name), false), true
}

func (s *Store) revoke(name string, gone bool) bool {
	b := s.binding(name)
	if b == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if gone {
		s.revoked[name] = true
	} else {
		delete(s.revoked, name)
	}
	if h, ok := b.Source.(*Held); ok {
		h.Expire()
	}
	return true
}

// Revoked reports whether a credential is given to nobody.
func (s *Store) Revoked(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revoked[name]
}

// Has reports whether there is a credential of a name.
func (s *Store) Has(name string) bool { return s.binding(name) != nil }

// State is that of one credential which there is.
func (s *Store) State(ctx context.Context, name string) State {
	return s.state(ctx, s.binding(name), false)
}
