// Package bundle fetches the bundles of policies from where they are published, and keeps the last good one of each.
package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// A Bundle is what a source gave. Nobody has looked into it.
type Bundle struct {
	Bytes []byte
	ETag  string // by which the source knows it again; "" is none
}

// Sum returns the SHA-256 of its bytes, in hexadecimal.
func (b *Bundle) Sum() string {
	s := sha256.Sum256(b.Bytes)
	return hex.EncodeToString(s[:])
}

// An Ask is what a source is asked.
type Ask struct {
	ETag string        // of what is there already; "" asks for whatever there is
	Wait time.Duration // how long the source may wait for something new
}

// An Answer is what a source says.
type Answer struct {
	Bundle *Bundle // nil when there is nothing new
	Waits  bool    // the source waits when it is asked to
	Status int     // of HTTP; 0 when there is none
}

// A Source is where a bundle is published. It is safe for concurrent use.
type Source interface {
	// String is its place, without what is secret in it.
	String() string
	// Fetch asks once. Its errors are each an *Error.
	Fetch(context.Context, Ask) (Answer, error)
}

// A Code says what is wrong, for programs.
type Code string

// What can be wrong with a source, and with what it gives.
const (
	Unreachable Code = "unreachable"  // no connection, or it broke off
	Slow        Code = "timeout"      // it took too long
	BadStatus   Code = "http_status"  // an answer that is neither a bundle nor nothing new
	BadRedirect Code = "redirect"     // it leads where it may not
	BadAnswer   Code = "answer"       // contradicts itself
	TooLarge    Code = "too_large"    // more than a bundle may be
	NoToken     Code = "token"        // what it is to be asked with cannot be read
	NotBundle   Code = "not_a_bundle" // something else
	BadSigned   Code = "signature"    // not signed as it has to be
	BadPolicy   Code = "policy"       // it does not compile
	OldOne      Code = "rollback"     // older than what is in force
	Unfit       Code = "unfit"        // asks for what the configuration or a sandbox does not have
	Unkept      Code = "state"        // it cannot be kept or recorded
)

// An Error is why there is no bundle, or why one is not taken.
type Error struct {
	Code     Code
	Status   int           // of HTTP; 0 when there is none
	After    time.Duration // that the source wants to be left alone for
	Problems []Problem     // with places in its files
	// Passing says that another try with the same may be taken.
	Passing bool
	Err     error
}

// A Problem is something wrong in a file of a bundle.
type Problem struct {
	File    string `json:"file,omitempty"`
	Row     int    `json:"row,omitempty"` // from 1; 0 when it is not of one line
	Col     int    `json:"col,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns what it is about.
func (e *Error) Unwrap() error { return e.Err }

func failed(c Code, format string, a ...any) *Error {
	return &Error{Code: c, Err: fmt.Errorf(format, a...)}
}

// asError is any error as one with a code.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: Unreachable, Err: err}
}
