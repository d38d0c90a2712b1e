package h1

import "sync/atomic"

// A follower walks through a chunked body that somebody else reads, to know when
// nothing but its trailer is missing (RFC 9112, 7.1). What is malformed it gives up;
// who reads refuses it.
type follower struct {
	at    place
	left  uint64 // of a chunk's data
	ended atomic.Bool
}

type place byte

const (
	nowhere place = iota
	atSize
	atExtension
	atData
	afterData
	atTrailer
)

// begin follows a body that comes next.
func (f *follower) begin() {
	f.at, f.left = atSize, 0
	f.ended.Store(false)
}

func (f *follower) stop() {
	f.at = nowhere
	f.ended.Store(false)
}

// pass is told of what came.
func (f *follower) pass(b []byte) {
	for len(b) > 0 {
		switch f.at {
		case nowhere, atTrailer:
			return
		case atData:
			n := min(f.left, uint64(len(b)))
			b = b[n:]
			if f.left -= n; f.left == 0 {
				f.at = afterData
			}
			continue
		}
		c := b[0]
		b = b[1:]
		switch {
		case f.at == afterData:
			if c == '\n' {
				f.at = atSize
			}
		case c == '\n' && f.left == 0:
			f.at = atTrailer
			f.ended.Store(true)
		case c == '\n':
			f.at = atData
		case f.at == atExtension:
		default:
			if d, ok := unhex(c); ok && f.left < 1<<59 {
				f.left = f.left<<4 | uint64(d)
			} else {
				f.at = atExtension
			}
		}
	}
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
