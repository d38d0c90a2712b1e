package credentials

import (
	"io"
	"strings"
)

// maxGuards bounds the automata over placeholders that are kept.
const maxGuards = 1024

// Peek is the size, in bytes, of the largest body that is looked through for placeholders
// before anything is sent. A larger one ends where a placeholder does.
const Peek = 64 << 10

// quarters is into how many parts the random part of a placeholder is cut, each of
// which is looked for by itself: whoever splits it once or twice leaves one whole.
const quarters = 4

// guard returns what looks for the placeholders of a sandbox, nil when it has none.
func (s *Store) guard(t Target) *patterns {
	if !s.placeholds {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if g, ok := s.guards[t.Sandbox]; ok {
		return g
	}
	var ps []pattern
	for i := range s.bindings {
		b := &s.bindings[i]
		if b.Placeholder == nil || !b.of(t) {
			continue
		}
		text := s.placeholder(b, t.Sandbox)
		shape := s.shapes[b.Name]
		before, _, n, _ := shape.shape()
		parts := []string{text}
		for q := range quarters {
			parts = append(parts, text[len(before)+q*n/quarters:len(before)+(q+1)*n/quarters])
		}
		for _, p := range parts {
			if v, err := NewSecret([]byte(p)); err == nil {
				ps = append(ps, patternsOf(&Binding{Name: b.Name, Place: Place{Kind: Bearer}}, Value{Secret: v})...)
			}
		}
	}
	var g *patterns
	if len(ps) > 0 {
		g = compile(ps)
	}
	if len(s.guards) >= maxGuards {
		clear(s.guards)
	}
	s.guards[t.Sandbox] = g
	return g
}

// misplaced refuses a request in which a placeholder stands where it is not
// substituted: what it was taken off has been by now. Its body is looked through as it
// is read.
func (s *Store) misplaced(t Target, r *Request) error {
	g := s.guard(t)
	if g == nil {
		return nil
	}
	in := func(where, text string) error {
		if name := g.first(text); name != "" {
			return strayed(name, where)
		}
		return nil
	}
	query := ""
	if r.URL != nil {
		query = r.URL.RawQuery
	}
	for where, text := range map[string]string{"the path": r.Path, "the query": query, "the host": r.Host} {
		if err := in(where, text); err != nil {
			return err
		}
	}
	for k, vs := range r.Header {
		if err := in("a field", k+": "+strings.Join(vs, "")); err != nil {
			return err
		}
	}
	if r.Body == nil {
		return nil
	}
	if r.Size >= 0 && r.Size <= Peek && r.kept == nil { // then nothing is sent of what is refused
		if _, err := r.whole(); err != nil {
			return err
		}
	}
	if r.kept != nil {
		if _, ok := g.passes(0, r.kept); !ok {
			return in("the body", string(r.kept))
		}
		return nil
	}
	r.Body = &guarded{r: r.Body, a: g}
	return nil
}

// first returns the name of the pattern that is found first, or "".
func (a *patterns) first(text string) string {
	at := int32(0)
	for i := range len(text) {
		if at = a.step(at, text[i]); a.states[at].found != 0 {
			return a.ends(at).name
		}
	}
	return ""
}

func strayed(name, where string) *Error {
	return &Error{"placeholder_misplaced", "the placeholder of a credential is in a place where it is not one", name + " in " + where}
}

// A guarded body ends where a placeholder does.
type guarded struct {
	r  io.Reader
	a  *patterns
	at int32
}

func (b *guarded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	at, ok := b.a.passes(b.at, p[:n])
	if !ok {
		clear(p[:n])
		return 0, strayed(b.a.ends(at).name, "the body")
	}
	b.at = at
	return n, err
}
