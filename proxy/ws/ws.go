// Package ws reads and writes the frames of WebSockets, and checks their handshakes: RFC 6455, without extensions.
package ws

import (
	"fmt"
	"unicode/utf8"
)

// An Opcode says what a frame is: RFC 6455, 5.2.
type Opcode byte

const (
	continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	Close        Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xa
)

// Control reports whether it is of the connection and not of a message.
func (o Opcode) Control() bool { return o&0x8 != 0 }

// Codes of a close: RFC 6455, 7.4.1, and the registry that it made.
const (
	Normal       = 1000
	GoingAway    = 1001
	Protocol     = 1002
	NoCode       = 1005 // there was none; it is never sent
	Invalid      = 1007
	Policy       = 1008
	TooBig       = 1009
	Unexpected   = 1011
	TryLater     = 1013
	maxControl   = 125
	maxReason    = maxControl - 2
	maxPiece     = 32 << 10
	maxHeader    = 14
	readAhead    = 1 << 10
	defMessage   = 128 << 20
	defFragments = 1 << 16
)

// An Error is a violation by whoever wrote the frames. Code is what they are told.
type Error struct {
	Code   int
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Reason) }

func violation(reason string) *Error { return &Error{Protocol, reason} }

// A Side is an end of a connection. Frames of a Client are masked, those of a
// Server are not.
type Side int

const (
	Client Side = iota
	Server
)

// Limits of a message; the zero value of each means its default.
type Limits struct {
	Message   int64 // bytes; 128 MiB
	Fragments int   // frames of one message; 65,536
}

func (l Limits) or() Limits {
	if l.Message == 0 {
		l.Message = defMessage
	}
	if l.Fragments == 0 {
		l.Fragments = defFragments
	}
	return l
}

// A Piece is a control frame, or some of a message: at most 32 KiB.
type Piece struct {
	Op          Opcode // of a message that of its first frame
	First, Last bool   // of a message; both of a control frame
	Payload     []byte // unmasked
	// Length is that of the whole message where its first frame is its last; -1
	// where nobody knows yet.
	Length int64
}

// text is the state of a check for UTF-8 through the pieces of a message.
type text struct {
	tail [utf8.UTFMax]byte
	n    int
}

// valid reports whether what came so far can be the beginning of a text, or all
// of it.
func (t *text) valid(p []byte, last bool) bool {
	for t.n > 0 && len(p) > 0 {
		t.tail[t.n] = p[0]
		t.n, p = t.n+1, p[1:]
		if b := t.tail[:t.n]; utf8.FullRune(b) {
			if !utf8.Valid(b) {
				return false
			}
			t.n = 0
		}
	}
	whole := p
	for i := 1; i <= min(len(p), utf8.UTFMax-1); i++ {
		if at := len(p) - i; utf8.RuneStart(p[at]) {
			if !utf8.FullRune(p[at:]) {
				t.n = copy(t.tail[:], p[at:])
				whole = p[:at]
			}
			break
		}
	}
	return utf8.Valid(whole) && (!last || t.n == 0)
}
