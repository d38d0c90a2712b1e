// Package h1 reads HTTP/1 byte for byte below net/http and refuses what that
// would forgive.
package h1

import (
	"fmt"
	"net/http"
)

// An Error is a violation. Public may be shown to the client that caused it.
type Error struct {
	Status   int
	Code     string
	Public   string
	Operator string
}

func (e *Error) Error() string {
	if e.Operator != "" {
		return e.Code + ": " + e.Public + " (" + e.Operator + ")"
	}
	return e.Code + ": " + e.Public
}

func bad(code, public string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: code, Public: public}
}

func (e *Error) operator(format string, a ...any) *Error {
	e.Operator = fmt.Sprintf(format, a...)
	return e
}

// Limits of a request head; the zero value of each means its default.
type Limits struct {
	Head    int // bytes of a head with all its lines; 64 KiB
	Target  int // bytes of a request target; 16 KiB
	Headers int // fields; 200
}

const (
	maxChunkExt  = 256
	maxChunkLine = 18 + maxChunkExt
	maxTrailer   = 16 << 10
)

func (l Limits) or() Limits {
	if l.Head == 0 {
		l.Head = 64 << 10
	}
	if l.Target == 0 {
		l.Target = 16 << 10
	}
	if l.Headers == 0 {
		l.Headers = 200
	}
	return l
}
