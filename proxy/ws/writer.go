package ws

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// ErrClosed means that a close was written: nothing follows it.
var ErrClosed = errors.New("a close was sent")

var frames = sync.Pool{New: func() any { b := make([]byte, maxHeader+maxPiece); return &b }}

// A Writer writes the frames of one side, each at once and with one write. A
// control frame, a close above all, goes between them. It is safe for concurrent
// use; the pieces of messages are for one goroutine.
type Writer struct {
	w  io.Writer
	as Side

	mu     sync.Mutex
	closed bool
	err    error
	keys   [256]byte // random bytes for masks
	used   int       // of them; 0 means that there are none
}

// NewWriter writes as a side does.
func NewWriter(w io.Writer, as Side) *Writer { return &Writer{w: w, as: as} }

// Write writes a piece, as more than one frame if it is large. What it writes of
// one message are its frames, whatever they were where the piece came from.
func (w *Writer) Write(p Piece) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	op := p.Op
	if !op.Control() && !p.First {
		op = continuation
	}
	for b := p.Payload; ; op = continuation {
		n := min(len(b), maxPiece)
		if err := w.frame(op, p.Last && n == len(b), b[:n]); err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			break
		}
	}
	w.closed = w.closed || op == Close
	return nil
}

// Close writes a close, unless there was one. A reason that is too long is cut.
func (w *Writer) Close(code int, reason string) error {
	return w.Write(Piece{Op: Close, First: true, Last: true, Payload: FormatClose(code, reason)})
}

func (w *Writer) frame(op Opcode, fin bool, payload []byte) error {
	switch {
	case w.closed:
		return ErrClosed
	case w.err != nil:
		return w.err
	}
	buf := frames.Get().(*[]byte)
	b := (*buf)[:0]
	first, mask := byte(op), byte(0)
	if fin {
		first |= 0x80
	}
	if w.as == Client {
		mask = 0x80
	}
	switch n := len(payload); {
	case n <= maxControl:
		b = append(b, first, mask|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, first, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, first, mask|127), uint64(n))
	}
	if w.as == Client {
		key := w.key()
		b = append(b, key[:]...)
		at := len(b)
		b = append(b, payload...)
		xor(b[at:], key, 0)
	} else {
		b = append(b, payload...)
	}
	_, w.err = w.w.Write(b)
	clear(b)
	frames.Put(buf)
	return w.err
}

// key is a mask that nobody can know before: RFC 6455, 10.3.
func (w *Writer) key() (k [4]byte) {
	if w.used == 0 || w.used == len(w.keys) {
		_, _ = rand.Read(w.keys[:]) // it does not fail
		w.used = 0
	}
	w.used += copy(k[:], w.keys[w.used:])
	return k
}
