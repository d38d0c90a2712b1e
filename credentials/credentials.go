// Package credentials keeps secrets, puts them on requests and takes them out of answers.
package credentials

import (
	"fmt"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// A Kind is how a secret is put on a request.
type Kind string

const (
	Bearer Kind = "bearer" // Authorization: Bearer SECRET (RFC 6750)
	Basic  Kind = "basic"  // Authorization: Basic with a fixed user (RFC 7617)
	Header Kind = "header" // a field of its own
	Query  Kind = "query"  // a parameter of the query
)

// A Place is where on a request a secret goes.
type Place struct {
	Kind Kind
	Name string // of the header or parameter
	User string // of basic
}

// String names the place as records do.
func (p Place) String() string {
	if p.Kind == Query {
		return "query:" + p.Name
	}
	return "header:" + p.header()
}

func (p Place) header() string {
	switch p.Kind {
	case Bearer, Basic:
		return "Authorization"
	}
	return p.Name
}

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
	Code     string // credential_unavailable, credential_not_bound, credential_ambiguous, credential_unknown
	Public   string
	Operator string
}

func (e *Error) Error() string {
	if e.Operator != "" {
		return e.Code + ": " + e.Public + " (" + e.Operator + ")"
	}
	return e.Code + ": " + e.Public
}

// reserved are the fields that frame or route a request: no secret goes there.
var reserved = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te", "Trailer", "Expect", "Range", "Accept-Encoding"}

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
	switch b.Place.Kind {
	case Bearer:
	case Basic:
		if strings.ContainsFunc(b.Place.User, func(r rune) bool { return r < ' ' || r == ':' || r == 0x7f }) {
			return fail("the user of basic has a colon or a control character")
		}
	case Header:
		if !httpguts.ValidHeaderFieldName(b.Place.Name) {
			return fail("%q is not the name of a header field", b.Place.Name)
		}
		for _, r := range reserved {
			if strings.EqualFold(r, b.Place.Name) {
				return fail("%s frames or routes a request: no secret goes there", r)
			}
		}
	case Query:
		if b.Place.Name == "" {
			return fail("the parameter has no name")
		}
	default:
		return fail("kind %q is not known; known are bearer, basic, header, query", b.Place.Kind)
	}
	return nil
}
