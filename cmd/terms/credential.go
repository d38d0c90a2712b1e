package terms

import (
	"fmt"
	"strings"

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

// CredentialSaid reports whether a credential of the configuration names a source
// and what it is bound to in their forms.
func CredentialSaid(bad *config.Problems, key string, c config.Credential) bool {
	kind, what, _ := strings.Cut(c.Source.S, ":")
	source := what != "" && (kind == "env" || kind == "file")
	if !source {
		bad.Add(c.Source.Pos, key+".source", "expected env:VARIABLE or file:PATH; what stands here is not repeated, since it may be a secret")
	}
	bound := strings.HasPrefix(c.Bind.S, "https://")
	switch {
	case strings.HasPrefix(c.Bind.S, "http://"):
		bad.Add(c.Bind.Pos, key+".bind", "a credential goes over https only: expected https://HOST[:PORT]")
	case !bound:
		bad.Add(c.Bind.Pos, key+".bind", "expected https://HOST[:PORT]")
	}
	return source && bound
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
