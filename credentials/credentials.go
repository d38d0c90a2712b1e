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

	ClientValue ClientValue
	Placeholder *Placeholder // nil is none
}

// An Error is why a request cannot have a credential. Public may be shown to the
// sandbox.
type Error struct {
	Code     string // credential_unavailable, credential_not_bound, credential_ambiguous, credential_unknown, credential_parameter, credential_unplaced, credential_client_value, placeholder_required, placeholder_misplaced
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
	if err := b.Placeholder.check(); err != nil {
		return fail("%w", err)
	}
	switch b.ClientValue {
	case "", StripValue:
	case RejectValue:
		if b.Placeholder != nil {
			return fail("what may show no value of its own cannot show a placeholder")
		}
	case RequirePlaceholder:
		if b.Placeholder == nil {
			return fail("it requires a placeholder and has none")
		}
	default:
		return fail("client_value %q is not known; known are strip, require_placeholder and reject", b.ClientValue)
	}
	return nil
}
