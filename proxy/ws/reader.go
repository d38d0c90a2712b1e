package ws

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

var pieces = sync.Pool{New: func() any { b := make([]byte, maxPiece); return &b }}

// A Reader reads the frames that one side writes, and refuses what they may not
// be: RFC 6455, 5. While nothing comes it holds a kilobyte, and never more than a
// piece besides. It is for one goroutine.
type Reader struct {
	r      *bufio.Reader
	from   Side
	limits Limits
	buf    *[]byte // of the last piece; nil when it had none
	ctl    [maxControl]byte

	ended bool // by a close
	open  bool // inside a message
	fresh bool // nothing of it was returned
	op    Opcode
	text  text
	size  int64 // of the message, with the whole of the frame that is read
	frags int

	frame bool // inside a frame of a message
	fin   bool
	left  int64
	key   [4]byte
	at    int // in the key
}

// NewReader reads what a side writes.
func NewReader(r io.Reader, from Side, l Limits) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, readAhead), from: from, limits: l.or()}
}

// Next returns the next piece, whose payload is good until it is called again.
// What may not be is an *Error, and the end; after a close, and where the bytes
// end between messages, it is io.EOF.
func (r *Reader) Next() (Piece, error) {
	r.Release()
	for {
		if r.ended {
			return Piece{}, io.EOF
		}
		if !r.frame {
			p, err := r.header()
			if err != nil || p.Op != continuation {
				return p, err
			}
		}
		n := min(r.left, maxPiece)
		if n == 0 && !r.fin { // an empty fragment says nothing
			r.frame = false
			continue
		}
		p := Piece{Op: r.op, First: r.fresh, Length: -1}
		if r.fresh && r.fin {
			p.Length = r.size
		}
		if n > 0 {
			r.buf = pieces.Get().(*[]byte)
			p.Payload = (*r.buf)[:n]
			if _, err := io.ReadFull(r.r, p.Payload); err != nil {
				return Piece{}, cut(err)
			}
			r.unmask(p.Payload)
		}
		r.fresh = false
		if r.left -= n; r.left == 0 {
			r.frame = false
			p.Last, r.open = r.fin, !r.fin
		}
		if r.op == Text && !r.text.valid(p.Payload, p.Last) {
			return Piece{}, &Error{Invalid, "a text is not UTF-8"}
		}
		return p, nil
	}
}

// Release forgets the last piece before there is another.
func (r *Reader) Release() {
	if r.buf != nil { // what another is given holds nothing of this
		clear(*r.buf)
		pieces.Put(r.buf)
		r.buf = nil
	}
}

// header reads the header of a frame: of a message, or the whole frame of another.
func (r *Reader) header() (Piece, error) {
	var b [8]byte
	if _, err := io.ReadFull(r.r, b[:2]); err != nil {
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !r.open {
			return Piece{}, io.EOF
		}
		return Piece{}, cut(err)
	}
	fin, op, masked, short := b[0]&0x80 != 0, Opcode(b[0]&0xf), b[1]&0x80 != 0, int64(b[1]&0x7f)
	switch {
	case b[0]&0x70 != 0:
		return Piece{}, violation("a reserved bit is set, and no extension was agreed on")
	case op > Binary && op < Close || op > Pong:
		return Piece{}, violation("a frame has a reserved opcode")
	case masked != (r.from == Client):
		return Piece{}, violation("frames of a client are masked, and those of a server are not")
	case op.Control() && (!fin || short > maxControl):
		return Piece{}, violation("a control frame is in fragments or too long")
	case op == continuation && !r.open:
		return Piece{}, violation("a fragment continues no message")
	case (op == Text || op == Binary) && r.open:
		return Piece{}, violation("a message begins inside of another")
	}
	n, err := r.length(short)
	if err != nil {
		return Piece{}, err
	}
	r.at = 0
	if masked {
		if _, err := io.ReadFull(r.r, r.key[:]); err != nil {
			return Piece{}, cut(err)
		}
	}
	if op.Control() {
		return r.control(op, int(n))
	}
	if op != continuation {
		r.open, r.fresh, r.op, r.text, r.size, r.frags = true, true, op, text{}, 0, 0
	}
	if r.frags++; r.frags > r.limits.Fragments {
		return Piece{}, &Error{Policy, "a message has too many fragments"}
	}
	if n > r.limits.Message-r.size {
		return Piece{}, &Error{TooBig, "a message is too large"}
	}
	r.size += n
	r.frame, r.fin, r.left = true, fin, n
	return Piece{}, nil
}

// length reads a length, which takes as few bytes as it can.
func (r *Reader) length(short int64) (int64, error) {
	var b [8]byte
	switch short {
	case 126:
		if _, err := io.ReadFull(r.r, b[:2]); err != nil {
			return 0, cut(err)
		}
		if n := int64(binary.BigEndian.Uint16(b[:])); n > 125 {
			return n, nil
		}
	case 127:
		if _, err := io.ReadFull(r.r, b[:]); err != nil {
			return 0, cut(err)
		}
		n := binary.BigEndian.Uint64(b[:])
		if n>>63 != 0 {
			return 0, violation("a length has its highest bit set")
		}
		if n > 0xffff {
			return int64(n), nil
		}
	default:
		return short, nil
	}
	return 0, violation("a length takes more bytes than it needs")
}

func (r *Reader) control(op Opcode, n int) (Piece, error) {
	b := r.ctl[:n]
	if _, err := io.ReadFull(r.r, b); err != nil {
		return Piece{}, cut(err)
	}
	r.unmask(b)
	if op == Close {
		if _, _, err := ParseClose(b); err != nil {
			return Piece{}, err
		}
		r.ended = true
	}
	return Piece{Op: op, First: true, Last: true, Payload: b, Length: int64(n)}, nil
}

func (r *Reader) unmask(b []byte) {
	if r.from == Client {
		r.at = xor(b, r.key, r.at)
	}
}

// xor masks or unmasks: RFC 6455, 5.3. It begins and ends at a place in the key.
func xor(b []byte, key [4]byte, at int) int {
	at &= 3
	var k [8]byte
	for i := range k {
		k[i] = key[(at+i)&3]
	}
	at += len(b)
	for word := binary.LittleEndian.Uint64(k[:]); len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
	}
	for i := range b {
		b[i] ^= k[i]
	}
	return at & 3
}

// cut says that bytes ended inside of something.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
