package main

import (
	"fmt"

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
