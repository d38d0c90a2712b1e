package terms

import (
	"fmt"

	"sallyport/config"
	"sallyport/credentials"
	"sallyport/credentials/env"
	"sallyport/credentials/file"
)

// A Credential is a binding with where its source must not show up.
type Credential struct {
	credentials.Binding
	Variable string // never handed in
	Path     string // never shown
}

// ParseCredential reads --credential and opens its source.
func ParseCredential(s string) (Credential, error) {
	spec, err := credentials.ParseSpec(s)
	if err != nil {
		return Credential{}, fmt.Errorf("--credential %q: %w", s, err)
	}
	out, err := OpenSource(spec)
	if err != nil {
		return out, fmt.Errorf("--credential %s: %w", spec.Name, err)
	}
	return out, nil
}

// Credential reads one of the configuration and opens its source. It reports
// false, and what is wrong at its place, when there is none.
func (s *Sources) Credential(key string, c config.Credential) (out credentials.Binding, ok bool) {
	ok = true
	wrong := func(at config.Text, key, format string, a ...any) {
		s.Bad.Add(at.Pos, key, format, a...)
		ok = false
	}
	out = credentials.Binding{Name: c.Name.S}
	var err error
	if out.Place, err = placeOf(c.As); err != nil {
		wrong(saidOf(c.As), key+".as", "%v", err)
	}
	out.ClientValue, out.Placeholder = credentials.ClientValue(c.ClientValue.S), placeholderOf(c.Placeholder)
	if out.Bind, err = credentials.ParseOrigin(c.Bind.To.S); err != nil {
		wrong(c.Bind.To, key+".bind", "%v", err)
	}
	for _, m := range c.Bind.Methods {
		out.Methods = append(out.Methods, m.S)
	}
	for _, p := range c.Bind.Paths {
		out.Paths = append(out.Paths, p.S)
	}
	for _, l := range c.Bind.Labels {
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		out.Labels[l.Key.S] = l.Value.S
	}
	src, opened := s.open(key+".source", c.Source, c.Bind.To)
	out.Source = src
	return out, ok && opened
}

// OpenSource opens where a secret comes from.
func OpenSource(spec credentials.Spec) (Credential, error) {
	out := Credential{Binding: spec.Binding}
	switch spec.SourceKind {
	case "env":
		src, err := env.New(spec.SourceArg)
		if err != nil {
			return out, err
		}
		out.Source, out.Variable = src, src.Variable()
	case "file":
		src, err := file.New(spec.SourceArg)
		if err != nil {
			return out, err
		}
		out.Source, out.Path = src, src.Path()
	}
	return out, nil
}
