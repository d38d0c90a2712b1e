// Package h2 ends streams of HTTP/2 in one direction, which net/http's server cannot.
package h2

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"

	"golang.org/x/net/http2/hpack"
)

// Frames, of RFC 9113, 4.1 and 6.
const (
	headSize  = 9
	resetSize = headSize + 4

	typeData         = 0x0
	typeHeaders      = 0x1
	typeReset        = 0x3
	typeContinuation = 0x9

	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	internalError = 0x2
	connectError  = 0xa
)

// tableSize is what net/http's server compresses with at most (RFC 7541, 4.2).
const tableSize = 4096

// maxGone is how many streams that ended are remembered, until their last frames passed.
const maxGone = 1024

var errFrames = errors.New("h2: the server writes frames of an unexpected form")

// A Conn is a connection to which a server of HTTP/2 writes. Nothing but streams that
// were marked is changed on its way. It is safe for concurrent use.
type Conn struct {
	net.Conn
	mark string // the field by which answers are known

	mu      sync.Mutex
	err     error  // of writing, for ever
	head    []byte // of the next frame, as far as it is there; not passed on yet
	frame   frame  // whose payload passes
	left    int    // of it
	block   []byte // of fields, as far as it is there
	inBlock bool   // nothing may come between its frames
	fields  *hpack.Decoder
	found   string // the mark in the block that is read
	marked  map[string]*Stream
	streams map[uint32]*Stream
	ending  []*Stream
	gone    []uint32
	out     []byte
}

type frame struct {
	kind, flags byte
	size        int
	stream      uint32
}

// NewConn stands between a server and its connection. The field mark of an answer says
// which stream it is.
func NewConn(c net.Conn, mark string) *Conn {
	out := &Conn{Conn: c, mark: mark, marked: map[string]*Stream{}, streams: map[uint32]*Stream{}}
	out.fields = hpack.NewDecoder(tableSize, func(f hpack.HeaderField) {
		if f.Name == mark {
			out.found = f.Value
		}
	})
	return out
}

// A Stream is one whose answer has a mark. It is safe for concurrent use.
type Stream struct {
	conn  *Conn
	mark  string
	id    uint32 // 0 until its answer passed
	sent  int64  // bytes of data
	after int64  // of which so many come before the end
	ended bool
}

// Mark makes the stream known whose answer, which is not written yet, has this mark.
// Leave has to be called when nothing more is written to it.
func (c *Conn) Mark(mark string) *Stream {
	s := &Stream{conn: c, mark: mark}
	c.mu.Lock()
	c.marked[mark] = s
	c.mu.Unlock()
	return s
}

// End ends what is sent to the client behind so many bytes of data, all of which were
// written to the server. What the client sends goes on. It is called once.
func (s *Stream) End(after int64) error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.after = after
	c.ending = append(c.ending, s)
	if c.left > 0 || c.inBlock {
		return c.err
	}
	return c.flush(c.endings(c.out[:0]))
}

// Leave lets go of a stream of which the server writes at most the end.
func (s *Stream) Leave() {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.marked, s.mark)
	c.ending = slices.DeleteFunc(c.ending, func(e *Stream) bool { return e == s })
	if s.id == 0 {
		return
	}
	c.gone = append(c.gone, s.id)
	if len(c.gone) > maxGone {
		delete(c.streams, c.gone[0])
		c.gone = slices.Delete(c.gone, 0, 1)
	}
}

// Write passes frames on. A frame's head is passed on when it is there as a whole.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	out := c.out[:0]
	for rest := p; len(rest) > 0 && c.err == nil; {
		if c.left == 0 {
			rest = c.takeHead(rest)
			out = c.begin(out)
			continue
		}
		n := min(c.left, len(rest))
		out = append(out, rest[:n]...)
		if c.inBlock {
			c.block = append(c.block, rest[:n]...)
		}
		rest, c.left = rest[n:], c.left-n
		if c.left == 0 {
			out = c.finish(out)
		}
	}
	if err := c.flush(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// takeHead adds to the head of the next frame, up to its end, and to that of a reset.
func (c *Conn) takeHead(p []byte) (rest []byte) {
	want := headSize
	if len(c.head) >= headSize {
		want = resetSize
	}
	n := min(want-len(c.head), len(p))
	c.head = append(c.head, p[:n]...)
	return p[n:]
}

// begin passes the head of a frame on when it is there, unless its stream ended before.
func (c *Conn) begin(out []byte) []byte {
	if len(c.head) < headSize {
		return out
	}
	f := frame{size: int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2]), kind: c.head[3], flags: c.head[4], stream: binary.BigEndian.Uint32(c.head[5:]) &^ (1 << 31)}
	s := c.streams[f.stream]
	switch {
	case f.kind == typeReset && s != nil && f.size == resetSize-headSize:
		if len(c.head) < resetSize {
			return out
		}
		if code := c.head[headSize:]; binary.BigEndian.Uint32(code) == internalError { // RFC 9113, 8.5
			binary.BigEndian.PutUint32(code, connectError)
		}
		delete(c.streams, f.stream)
		out = append(out, c.head...)
		c.head = c.head[:0]
		return out
	case f.kind == typeData && s != nil && s.ended && f.size == 0: // it was said
		delete(c.streams, f.stream)
		c.head = c.head[:0]
		return out
	case f.kind == typeData && s != nil && s.ended, (f.kind == typeHeaders || f.kind == typeContinuation) && f.flags&(flagPadded|flagPriority) != 0:
		c.err = errFrames
		return out
	}
	out = append(out, c.head...)
	c.head, c.frame, c.left = c.head[:0], f, f.size
	c.inBlock = f.kind == typeHeaders || f.kind == typeContinuation
	if f.size == 0 {
		return c.finish(out)
	}
	return out
}

// finish looks at a frame that passed, and puts behind it what has waited for it.
func (c *Conn) finish(out []byte) []byte {
	switch f := c.frame; f.kind {
	case typeData:
		if s := c.streams[f.stream]; s != nil {
			s.sent += int64(f.size)
		}
	case typeHeaders, typeContinuation:
		if f.flags&flagEndHeaders == 0 {
			return out
		}
		c.found = ""
		_, err := c.fields.Write(c.block)
		if err = errors.Join(err, c.fields.Close()); err != nil {
			c.err = err
			return out
		}
		c.block, c.inBlock = nil, false
		if s := c.marked[c.found]; s != nil {
			s.id = f.stream
			c.streams[s.id] = s
			delete(c.marked, c.found)
		}
	}
	return c.endings(out)
}

// endings ends the streams whose data has passed.
func (c *Conn) endings(out []byte) []byte {
	c.ending = slices.DeleteFunc(c.ending, func(s *Stream) bool {
		if s.id == 0 || s.sent < s.after {
			return false
		}
		s.ended = true
		out = append(out, 0, 0, 0, typeData, flagEndStream)
		out = binary.BigEndian.AppendUint32(out, s.id)
		return true
	})
	return out
}

// flush writes what may pass.
func (c *Conn) flush(out []byte) error {
	if c.out = out[:0]; cap(out) > 64<<10 {
		c.out = nil
	}
	if c.err == nil && len(out) > 0 {
		_, c.err = c.Conn.Write(out)
	}
	return c.err
}
