package credentials

import (
	"context"
	"maps"
	"slices"
	"time"
)

// A Source is where a secret comes from. It is safe for concurrent use.
type Source interface {
	// Fetch returns what the source has now, for parameters of which each is one that
	// it takes. The context bounds the waiting.
	Fetch(context.Context, Params) (Value, error)
	// String names the source, never the secret: env:TOKEN, file:/run/token.
	String() string
}

// A Narrower is a Source that gives a narrower secret for parameters that policy
// chooses, such as the repositories that a token is for.
type Narrower interface {
	Source
	// Takes returns the names of its parameters.
	Takes() []string
}

// Params are what policy chose about a secret, by name. The nil Params chooses nothing.
type Params map[string]string

// key tells one choice from another.
func (p Params) key() string {
	if len(p) == 0 {
		return ""
	}
	var b []byte
	for _, k := range slices.Sorted(maps.Keys(p)) {
		b = appendPart(appendPart(b, k), p[k])
	}
	return string(b)
}

// appendPart adds a text so that no other texts come to the same.
func appendPart(b []byte, s string) []byte {
	n := len(s)
	return append(append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)), s...)
}

// A Value is what a source has: a secret and what belongs to it. The zero Value
// is useless.
type Value struct {
	Secret Secret            // a token, a password, a key
	Others map[string]Secret // by name, where there is more than one: session_token
	Public map[string]string // what need not be hidden, by name: user, access_key_id
	// Version changes with the value, and says nothing of it.
	Version string
	// Expires is when it ends; zero is never.
	Expires time.Time
}

// each calls f with every secret of the value.
func (v Value) each(f func(Secret)) {
	f(v.Secret)
	for _, k := range slices.Sorted(maps.Keys(v.Others)) {
		f(v.Others[k])
	}
}

// same reports whether two values hold the same secrets, in constant time for each.
func (v Value) same(o Value) bool {
	if !v.Secret.Equal(o.Secret) || len(v.Others) != len(o.Others) || !maps.Equal(v.Public, o.Public) {
		return false
	}
	for k, s := range v.Others {
		if !s.Equal(o.Others[k]) {
			return false
		}
	}
	return true
}
