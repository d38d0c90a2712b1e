// Package env takes secrets from the environment of this process.
package env

import (
	"context"
	"fmt"
	"os"

	"sallyport/credentials"
)

// A Source is one variable, as it was when New read it.
type Source struct {
	name   string
	secret credentials.Secret
}

var _ credentials.Source = (*Source)(nil)

// New reads a variable.
func New(name string) (*Source, error) { return read(name, credentials.NewSecret) }

// NewKey is New of what is never put on a request, such as the secret of a client.
func NewKey(name string) (*Source, error) { return read(name, credentials.NewKey) }

func read(name string, take func([]byte) (credentials.Secret, error)) (*Source, error) {
	v, ok := os.LookupEnv(name)
	if !ok {
		return nil, fmt.Errorf("env:%s: there is no such variable", name)
	}
	s, err := take([]byte(v))
	if err != nil {
		return nil, fmt.Errorf("env:%s: %w", name, err)
	}
	return &Source{name, s}, nil
}

// Fetch returns the secret; a process's environment does not change.
func (s *Source) Fetch(context.Context, credentials.Params) (credentials.Value, error) {
	return credentials.Value{Secret: s.secret, Version: "1"}, nil
}

// String names the variable.
func (s *Source) String() string { return "env:" + s.name }

// Variable returns the name, so that it is never handed to a sandbox.
func (s *Source) Variable() string { return s.name }
