// Package credentials keeps secrets, puts them on requests and takes them out of answers.
package credentials

import (
	"fmt"
	"strings"
)

// A Binding ties a secret to where it may be sent. It is a second lock beside
// policy: both must open.
type Binding struct {
	Name   string
	Source Source
	Bind
	Place Place
}

// An Error is why a request cannot have a credential. Public may be shown to the
// sandbox.
type Error struct {
	Code     string // credential_unavailable, credential_not_bound, credential_ambiguous, credential_unknown, credential_parameter, credential_unplaced
	Public   string
	Operator string
}

func (e *Error) Error() string {
	if e.Operator != "" {
		return e.Code + ": " + e.Public + " (" + e.Operator + ")"
	}
	return e.Code + ": " + e.Public
}

func (b *Binding) check() error {
	fail := func(format string, a ...any) error {
		return fmt.Errorf("credential %q: "+format, append([]any{b.Name}, a...)...)
	}
	if b.Name == "" || strings.ContainsFunc(b.Name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}) {
		return fail("a name has letters, digits, hyphens, dots and underscores")
	}
	if b.Source == nil {
		return fail("a source is required")
	}
	if err := b.Bind.check(); err != nil {
		return fail("%w", err)
	}
	if err := b.Place.check(); err != nil {
		return fail("%w", err)
	}
	return nil
}
