package h1

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// A state is what comes next on a connection.
type state int

const (
	inHead state = iota
	inBody
	inChunkSize
	inChunkData
	inChunkEnd
	inTrailer
	opaque // behind CONNECT
	held   // behind an upgrade that nobody has agreed to
	ended  // after a refusal
)

// A Conn passes on what is valid, byte for byte, and in the place of a head that
// is not, a request that only Refused knows; after that the connection ends.
// An error inside a body is an error of Read, and the last. Read is for one
// goroutine at a time, as net/http does it.
type Conn struct {
	net.Conn
	limits Limits
	buf    []byte
	r, w   int // what is read and not passed on
	ok     int // of that, what is valid
	state  state
	left   int64 // of a body or chunk
	size   int   // of the trailer so far
	synth  []byte
	err    error // of Read, for ever

	refused atomic.Pointer[refusal]
	agreed  atomic.Bool
	bodies  atomic.Int64 // that came to their end
}

type refusal struct {
	nonce string
	err   *Error
}

// NewConn puts the strict reader before a connection, of which some bytes were
// read ahead.
func NewConn(c net.Conn, l Limits, ahead ...byte) *Conn {
	return &Conn{Conn: c, limits: l.or(), buf: ahead, w: len(ahead)}
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Refused returns the violation that a request stands for, or nil for a request
// that the client made.
func (c *Conn) Refused(r *http.Request) *Error {
	f := c.refused.Load()
	if f == nil || r.RequestURI != "/"+f.nonce {
		return nil
	}
	return f.err
}

// Ended returns how many bodies came to their end. It may be called at any time.
func (c *Conn) Ended() int64 { return c.bodies.Load() }

// Switch lets what comes behind an upgrade pass unread.
func (c *Conn) Switch() { c.agreed.Store(true) }

// Rest takes out what was read and not passed on, behind CONNECT, where it means
// nothing here. After it the connection below is read.
func (c *Conn) Rest() []byte {
	rest := bytes.Clone(c.buf[c.r:c.w])
	c.buf, c.r, c.w, c.ok = nil, 0, 0, 0
	return rest
}

// Read returns valid bytes.
func (c *Conn) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if len(c.synth) > 0 {
			n := copy(p, c.synth)
			c.synth = c.synth[n:]
			return n, nil
		}
		if c.ok > 0 {
			n := copy(p, c.buf[c.r:c.r+c.ok])
			c.r, c.ok = c.r+n, c.ok-n
			return n, nil
		}
		if c.err != nil {
			return 0, c.err
		}
		if c.r == c.w { // nothing is waiting: pass through where the bytes mean nothing
			switch c.state {
			case inBody, inChunkData:
				n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
				c.passed(int64(n))
				return n, err
			case opaque:
				return c.Conn.Read(p)
			case inHead:
				if len(p) >= roomy {
					if n, err := c.first(p); n > 0 || err != nil {
						return n, err
					}
					continue
				}
			}
		}
		if more, err := c.step(); err != nil {
			c.fail(err)
		} else if more {
			if err := c.fill(len(p)); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// roomy is room for a usual head.
const roomy = 512

// first reads where a head may begin into the room of whoever asks, so that an idle
// connection needs none of its own. It returns the head when it is there and
// whole, and nothing when there is more to be done.
func (c *Conn) first(p []byte) (int, error) {
	c.buf, c.r, c.w = nil, 0, 0
	n, err := c.Conn.Read(p)
	if n == 0 {
		if err == nil {
			err = io.ErrNoProgress
		}
		return 0, err
	}
	if _, err := c.stepHead(p[:n]); err != nil {
		c.fail(err)
		return 0, nil
	}
	end := c.ok
	c.ok = 0
	if rest := p[end:n]; len(rest) > 0 {
		c.buf = append(make([]byte, 0, max(len(rest), 4<<10)), rest...)[:max(len(rest), 4<<10)]
		c.w = len(rest)
	}
	return end, nil
}

// step makes more of what is waiting valid, or says that more must come.
func (c *Conn) step() (more bool, err *Error) {
	b := c.buf[c.r:c.w]
	switch c.state {
	case inHead:
		return c.stepHead(b)
	case inBody, inChunkData:
		n := min(int64(len(b)), c.left)
		if n == 0 {
			return true, nil
		}
		c.ok = int(n)
		c.passed(n)
	case inChunkSize:
		line, n, err := crlf(b, maxChunkLine, "a chunk's size")
		if err != nil || n == 0 {
			return err == nil, err
		}
		size, err := chunkSize(line)
		if err != nil {
			return false, err
		}
		c.ok = n
		if c.left = size; size > 0 {
			c.state = inChunkData
		} else {
			c.state, c.size = inTrailer, 0
		}
	case inChunkEnd:
		if len(b) < 2 {
			return true, nil
		}
		if b[0] != '\r' || b[1] != '\n' {
			return false, bad("framing_invalid", "a chunk is longer than its size")
		}
		c.ok, c.state = 2, inChunkSize
	case inTrailer:
		line, n, err := crlf(b, maxTrailer-c.size, "the trailer")
		if err != nil || n == 0 {
			return err == nil, err
		}
		if len(line) == 0 {
			c.state = inHead
			c.bodies.Add(1)
		} else if err := trailerLine(line); err != nil {
			return false, err
		}
		c.ok, c.size = n, c.size+n
	case opaque:
		c.ok = len(b)
		return len(b) == 0, nil
	case held:
		if c.agreed.Load() {
			c.state = opaque
			return false, nil
		}
		if len(b) > 0 {
			c.err = io.EOF // it belongs to a protocol that nobody speaks here
			return false, nil
		}
		return true, nil
	case ended:
		c.err = io.EOF
	}
	return false, nil
}

func (c *Conn) stepHead(b []byte) (bool, *Error) {
	if len(b) > 0 && b[0] != '\r' && b[0] != '\n' && !token(b[:1]) { // there is no line to wait for
		return false, bad("line_invalid", "this does not begin as a request of HTTP/1 does")
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if i := bytes.IndexByte(b, '\n'); i == 0 || i > 0 && b[i-1] != '\r' || bytes.Contains(b, []byte("\n\n")) {
			return false, bad("line_invalid", "a line of the request ends in LF without CR")
		}
		if len(b) >= c.limits.Head {
			return false, c.tooLarge(b)
		}
		return true, nil
	}
	end += 4
	if end > c.limits.Head {
		return false, c.tooLarge(b)
	}
	h, err := parseHead(b[:end], c.limits)
	if err != nil {
		return false, err
	}
	c.ok = end
	switch {
	case h.connect:
		c.state = opaque
	case h.chunked:
		c.state = inChunkSize
	case h.length > 0:
		c.state, c.left = inBody, h.length
	}
	if h.upgrade && c.state == inHead {
		c.state = held
	}
	return false, nil
}

// tooLarge tells a target that is too long from fields that are.
func (c *Conn) tooLarge(b []byte) *Error {
	e := bad("headers_too_large", "the request's header is too large")
	e.Status = http.StatusRequestHeaderFieldsTooLarge
	if i := bytes.IndexByte(b, '\n'); i < 0 || i > c.limits.Target+64 {
		e = bad("target_too_long", "the request target is too long")
		e.Status = http.StatusRequestURITooLong
	}
	return e
}

// passed counts what went by of a body or chunk.
func (c *Conn) passed(n int64) {
	c.left -= n
	if c.left > 0 {
		return
	}
	if c.state == inBody {
		c.state = inHead
		c.bodies.Add(1)
	} else {
		c.state = inChunkEnd
	}
}

// fail ends the connection: in the place of a head with a request that says so,
// inside a body with an error.
func (c *Conn) fail(e *Error) {
	if c.state != inHead {
		c.err = e
		return
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	f := &refusal{hex.EncodeToString(nonce[:]), e}
	c.refused.Store(f)
	c.synth = []byte("GET /" + f.nonce + " HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n\r\n")
	c.state, c.r, c.w = ended, 0, 0
}

// fill reads once, for whoever has so much room. An error, a deadline's too, loses
// nothing that was read.
func (c *Conn) fill(room int) error {
	if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		size := max(4<<10, min(2*len(c.buf), c.limits.Head+4))
		if c.w == 0 && room < roomy { // net/http waits for the end only
			size = 64
		}
		if size <= len(c.buf) {
			size = len(c.buf) + maxTrailer
		}
		grown := make([]byte, size)
		copy(grown, c.buf[:c.w])
		c.buf = grown
	}
	n, err := c.Conn.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}
