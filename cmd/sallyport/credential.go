package main

import (
	"fmt"
	"strings"

	"sallyport/config"
	"sallyport/credentials"
	"sallyport/credentials/env"
	"sallyport/credentials/file"
)

// A credentialFlag is a binding with where its source must not show up.
type credentialFlag struct {
	credentials.Binding
	variable string // never handed in
	path     string // never shown
}

// parseCredential reads --credential and opens its source.
func parseCredential(s string) (credentialFlag, error) {
	spec, err := credentials.ParseSpec(s)
	if err != nil {
		return credentialFlag{}, fmt.Errorf("--credential %q: %w", s, err)
	}
	out, err := openSource(spec)
	if err != nil {
		return out, fmt.Errorf("--credential %s: %w", spec.Name, err)
	}
	return out, nil
}

// credentialSaid reports whether a credential of the configuration names a source
// and what it is bound to in their forms.
func credentialSaid(bad *config.Problems, key string, c config.Credential) bool {
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

// openSource opens where a secret comes from.
func openSource(spec credentials.Spec) (credentialFlag, error) {
	out := credentialFlag{Binding: spec.Binding}
	switch spec.SourceKind {
	case "env":
		src, err := env.New(spec.SourceArg)
		if err != nil {
			return out, err
		}
		out.Source, out.variable = src, src.Variable()
	case "file":
		src, err := file.New(spec.SourceArg)
		if err != nil {
			return out, err
		}
		out.Source, out.path = src, src.Path()
	}
	return out, nil
}
