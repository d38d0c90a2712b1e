package credentials

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/dest"
)

// A Store holds the bindings. It is safe for concurrent use.
type Store struct {
	bindings []Binding

	mu      sync.Mutex
	live    map[string]*known // by name: the values that may be on their way
	revoked map[string]bool   // by name: given to nobody
	// former are the credentials of stores before this one.
	former []former
	// joined are automata over several credentials, by their names and versions.
	joined map[string]*patterns

	seed       []byte
	placeholds bool                   // there are placeholders
	shapes     map[string]Placeholder // by name
	guards     map[string]*patterns   // of placeholders, by sandbox
}

// A former is a credential that was, and may be on its way back.
type former struct {
	host     dest.Host
	patterns *patterns
	all      []pattern
	key      string
}

// maxFormer bounds what is inherited.
const maxFormer = 32

// Inherit goes on to look for what an earlier store knew. It is called before
// the store is used.
func (s *Store) Inherit(old *Store) {
	s.seed = old.seed
	old.mu.Lock()
	defer old.mu.Unlock()
	for i := range old.bindings {
		b := &old.bindings[i]
		k := old.live[b.Name]
		if k == nil || !k.sent {
			continue
		}
		s.inherit(former{b.Host, k.patterns, k.all, fmt.Sprintf("former %p\n", k.patterns)})
	}
	for _, f := range old.former {
		s.inherit(f)
	}
	if len(s.former) > maxFormer {
		s.former = s.former[:maxFormer]
	}
}

// inherit takes one over, unless all of it is looked for at its host already.
func (s *Store) inherit(f former) {
	have := map[string]bool{}
	for i := range s.bindings {
		if b := &s.bindings[i]; b.Host == f.host && s.live[b.Name] != nil {
			for _, p := range s.live[b.Name].all {
				have[string(p.text)] = true
			}
		}
	}
	for _, o := range s.former {
		if o.host == f.host {
			for _, p := range o.all {
				have[string(p.text)] = true
			}
		}
	}
	if slices.ContainsFunc(f.all, func(p pattern) bool { return !have[string(p.text)] }) {
		s.former = append(s.former, f)
	}
}

// maxJoined bounds the automata that are kept.
const maxJoined = 64

// known are the last values of one credential, as patterns.
type known struct {
	versions []string
	of       []string // the choice of each version
	patterns *patterns
	all      []pattern
	sent     bool // it can come back
}

// How many values are still looked for: of one choice of a rotated credential,
// and of all choices of one.
const (
	keptVersions = 3
	keptChoices  = 16
)

// New checks the bindings and fetches each secret once, so that one that is
// missing is an error now; but what a Held keeps is not waited for.
func New(ctx context.Context, bindings []Binding) (*Store, error) {
	s := &Store{bindings: slices.Clone(bindings), live: map[string]*known{}, revoked: map[string]bool{}, joined: map[string]*patterns{}, seed: newSeed(), shapes: map[string]Placeholder{}, guards: map[string]*patterns{}}
	var errs []error
	names := map[string]bool{}
	for i := range s.bindings {
		b := &s.bindings[i]
		if err := b.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		if names[b.Name] {
			errs = append(errs, fmt.Errorf("credential %q: there are two of this name", b.Name))
			continue
		}
		names[b.Name] = true
		if b.Placeholder != nil {
			s.placeholds, s.shapes[b.Name] = true, b.Placeholder.shaped(Value{})
		}
		if _, later := b.Source.(*Held); later {
			continue
		}
		v, err := b.Source.Fetch(ctx, nil)
		if b.Placeholder != nil && err == nil {
			s.shapes[b.Name] = b.Placeholder.shaped(v)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("credential %q: %w", b.Name, err))
			continue
		}
		s.learn(b, nil, v)
	}
	return s, errors.Join(errs...)
}

// Warm asks for what was not waited for, so that the first requests need not wait,
// and returns when all is there or failed.
func (s *Store) Warm(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range s.bindings {
		b := &s.bindings[i]
		if _, later := b.Source.(*Held); !later || s.Revoked(b.Name) {
			continue
		}
		wg.Go(func() {
			if v, err := b.Source.Fetch(ctx, nil); err == nil {
				s.learn(b, nil, v)
			}
		})
	}
	wg.Wait()
}

// learn remembers what to look for.
func (s *Store) learn(b *Binding, p Params, v Value) *patterns {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.live[b.Name]
	if k == nil {
		k = &known{}
		s.live[b.Name] = k
	}
	k.sent = k.sent || b.Place.placer().sends(v)
	choice := p.key()
	version := choice + v.Version
	if slices.Contains(k.versions, version) {
		return k.patterns
	}
	ps := patternsOf(b, v)
	for i := range ps {
		ps[i].version = version
	}
	k.versions, k.of, k.all = append(k.versions, version), append(k.of, choice), append(k.all, ps...)
	same, oldest := 0, -1
	for i := len(k.of) - 1; i >= 0; i-- {
		if k.of[i] == choice {
			if same++; same > keptVersions {
				oldest = i
			}
		}
	}
	if oldest < 0 && len(k.versions) > keptVersions*keptChoices {
		oldest = 0
	}
	if oldest >= 0 {
		old := k.versions[oldest]
		k.versions, k.of = slices.Delete(k.versions, oldest, oldest+1), slices.Delete(k.of, oldest, oldest+1)
		k.all = slices.DeleteFunc(k.all, func(p pattern) bool { return p.version == old })
	}
	k.patterns = compile(k.all)
	return k.patterns
}

// An Ask is a credential that policy wants, and what it chose about it.
type Ask struct {
	Name   string
	Params Params
}

// Grant fetches the credentials that were asked for, if all of them are bound to
// where the request goes.
func (s *Store) Grant(ctx context.Context, t Target, asks []Ask) (*Grant, error) {
	g := &Grant{store: s, target: t}
	places := make(map[string]string, len(asks))
	names := make([]string, 0, len(asks))
	for _, a := range asks {
		if i := slices.Index(names, a.Name); i >= 0 {
			if a.Params.key() != asks[i].Params.key() {
				return nil, &Error{"credential_ambiguous", "the policy asks for one credential in two ways", fmt.Sprintf("%q", a.Name)}
			}
			continue
		}
		names = append(names, a.Name)
		b := s.binding(a.Name)
		if b == nil {
			return nil, &Error{"credential_unknown", "the policy asks for a credential that does not exist", fmt.Sprintf("%q", a.Name)}
		}
		if !b.covers(t) {
			return nil, &Error{"credential_not_bound", "the policy asks for a credential that is not bound to this destination", fmt.Sprintf("%q is bound to %s", a.Name, b.Describe())}
		}
		p := strings.ToLower(b.Place.String())
		if other, taken := places[p]; taken {
			return nil, &Error{"credential_ambiguous", "two credentials claim one place", fmt.Sprintf("%q and %q: %s", other, a.Name, p)}
		}
		places[p] = a.Name
		if unknown := b.unknown(a.Params); unknown != "" {
			return nil, &Error{"credential_parameter", "the policy chooses what its credential has no choice of", fmt.Sprintf("%q: %q", a.Name, unknown)}
		}
		if s.Revoked(a.Name) {
			return nil, &Error{"credential_unavailable", "a credential for this destination is not available", fmt.Sprintf("%q: %s", a.Name, revokedWhy(a.Name))}
		}
		v, err := b.Source.Fetch(ctx, a.Params)
		if err != nil {
			return nil, &Error{"credential_unavailable", "a credential for this destination is not available", s.RedactString(err.Error())}
		}
		if !v.Expires.IsZero() && !v.Expires.After(time.Now()) {
			return nil, &Error{"credential_unavailable", "a credential for this destination is not available", fmt.Sprintf("%q ended at %s", a.Name, v.Expires.UTC().Format(time.RFC3339))}
		}
		g.items = append(g.items, item{b, v, a.Params})
		s.learn(b, a.Params, v)
	}
	g.find = s.finder(names, t)
	return g, nil
}

// binding returns that of a name, or nil.
func (s *Store) binding(name string) *Binding {
	for i := range s.bindings {
		if s.bindings[i].Name == name {
			return &s.bindings[i]
		}
	}
	return nil
}

// unknown returns a parameter that the source does not take.
func (b *Binding) unknown(p Params) string {
	var takes []string
	if n, ok := b.Source.(Narrower); ok {
		takes = n.Takes()
	}
	for k := range p {
		if !slices.Contains(takes, k) {
			return k
		}
	}
	return ""
}

// Watch returns a Grant that puts nothing on a request and takes out of the
// answer what is bound to the host, whatever the port or scheme: what was sent
// there once may be told again. It is nil when nothing is bound to the host.
func (s *Store) Watch(t Target) *Grant {
	f := s.finder(nil, t)
	if f == nil {
		return nil
	}
	return &Grant{store: s, target: t, find: f}
}

// finder looks for these credentials and all that are bound to the host. What it
// was compiled from names it, so that it is compiled once.
func (s *Store) finder(names []string, t Target) *patterns {
	var room [4]string
	all := room[:0]
	for i := range s.bindings {
		if b := &s.bindings[i]; b.Host == t.Addr.Host() || slices.Contains(names, b.Name) {
			all = append(all, b.Name)
		}
	}
	var past []former
	for _, f := range s.former {
		if f.host == t.Addr.Host() {
			past = append(past, f)
		}
	}
	if len(all)+len(past) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all = slices.DeleteFunc(all, func(n string) bool { return s.live[n] == nil || !s.live[n].sent })
	switch {
	case len(all)+len(past) == 0:
		return nil
	case len(all) == 1 && len(past) == 0:
		return s.live[all[0]].patterns
	}
	var key strings.Builder
	for _, f := range past {
		key.WriteString(f.key)
	}
	for _, n := range all {
		fmt.Fprintf(&key, "%q %q\n", n, s.live[n].versions)
	}
	if f := s.joined[key.String()]; f != nil {
		return f
	}
	var ps []pattern
	for _, f := range past {
		ps = append(ps, f.all...)
	}
	for _, n := range all {
		ps = append(ps, s.live[n].all...)
	}
	if len(s.joined) >= maxJoined {
		clear(s.joined)
	}
	f := compile(ps)
	s.joined[key.String()] = f
	return f
}

// Strip takes the client's own values out of the places of what is bound to the
// target, and returns those places. A placeholder anywhere else is an error.
func (s *Store) Strip(t Target, r *Request) ([]string, error) {
	return s.strip(t, r), s.misplaced(t, r)
}

func (s *Store) strip(t Target, r *Request) []string {
	var out []string
	for i := range s.bindings {
		if b := &s.bindings[i]; b.at(t) && b.Place.placer().strip(r) {
			if p := b.Place.String(); !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// answered takes out of an answer's header what stands for places of what is bound to
// its host.
func (s *Store) answered(t Target, h http.Header) (n int) {
	for i := range s.bindings {
		if b := &s.bindings[i]; b.Host == t.Addr.Host() {
			n += b.Place.placer().answered(h)
		}
	}
	return n
}

// Redact takes every live secret, in any of the forms that are looked for, out
// of a text.
func (s *Store) Redact(b []byte) []byte {
	s.mu.Lock()
	var ps []*patterns
	for _, k := range s.live {
		ps = append(ps, k.patterns)
	}
	for _, f := range s.former {
		ps = append(ps, f.patterns)
	}
	s.mu.Unlock()
	for _, p := range ps {
		b, _ = p.replace(b)
	}
	return b
}

// RedactString is Redact.
func (s *Store) RedactString(v string) string {
	if len(s.bindings)+len(s.former) == 0 {
		return v
	}
	return string(s.Redact([]byte(v)))
}
