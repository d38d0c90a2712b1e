// Package frames bounds the frames of HTTP/2 that a client sends and that carry nothing.
package frames

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"
)

// ErrFlood ends a connection whose client sends too much that carries nothing.
var ErrFlood = errors.New("frames: too many frames that carry nothing")

// What may come beside the bytes of bodies: heads of requests, acknowledgements, windows,
// pings, priorities, resets, and frames that nobody knows. An answer gives room for the
// request, and for the frames in which a client says that it took it; a reset does not.
const (
	Free  = 200     // of each connection, uncounted
	Burst = 10_000  // of all that share a Budget, at once
	Rate  = 1_000   // of them, in a second
	most  = 100_000 // however much was sent
	gives = 32      // bytes that are sent give room for one
)

// A Budget is what the connections of one sandbox may send together. The zero Budget is
// full. It is safe for concurrent use.
type Budget struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

// give makes room.
func (b *Budget) give(n float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(time.Now())
	b.left = max(b.left, min(b.left+n, most))
}

func (b *Budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

func (b *Budget) fill(now time.Time) {
	switch gone := now.Sub(b.at).Seconds(); {
	case b.at.IsZero():
		b.left, b.at = Burst, now
	case gone > 0:
		b.left, b.at = max(b.left, min(b.left+gone*Rate, Burst)), now
	}
}

// Types and flags of frames: RFC 9113, 6.
const (
	frameHead  = 9
	data       = 0
	endStream  = 0x1
	padded     = 0x8
	prefaceLen = 24
)

// A Conn passes on what a client sends as HTTP/2, in the clear, and counts. Read is for
// one goroutine at a time, as is Write.
type Conn struct {
	net.Conn
	budget func() *Budget
	flood  func() // told once that there is one

	skip  int // bytes until the next frame begins
	head  [frameHead]byte
	have  int // of head
	free  int
	sent  int // bytes that gave no room yet
	ended bool
}

// NewConn counts what comes on a connection from its preface on, of which so many bytes
// were read before. budget says whose room is used, each time. flood is called once,
// before Read fails with ErrFlood.
func NewConn(c net.Conn, ahead int, budget func() *Budget, flood func()) *Conn {
	return &Conn{Conn: c, budget: budget, flood: flood, skip: prefaceLen - ahead, free: Free}
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Read reads what the client sends.
func (c *Conn) Read(p []byte) (int, error) {
	if c.ended {
		return 0, ErrFlood
	}
	n, err := c.Conn.Read(p)
	for b := p[:n]; len(b) > 0; {
		if c.skip > 0 {
			k := min(c.skip, len(b))
			c.skip, b = c.skip-k, b[k:]
			continue
		}
		k := copy(c.head[c.have:], b)
		c.have, b = c.have+k, b[k:]
		if c.have < frameHead {
			break
		}
		c.have = 0
		c.skip = int(binary.BigEndian.Uint32(c.head[:]) >> 8)
		if !c.carries() && !c.counted() {
			c.ended = true
			c.flood()
			return 0, ErrFlood
		}
	}
	return n, err
}

// carries reports whether the frame of a head has bytes of a body, or ends one.
func (c *Conn) carries() bool {
	kind, flags := c.head[3], c.head[4]
	return kind == data && flags&padded == 0 && (c.skip > 0 || flags&endStream != 0)
}

func (c *Conn) counted() bool {
	if c.free > 0 {
		c.free--
		return true
	}
	return c.budget().take(time.Now())
}

// Write sends, which gives room.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.sent += n; c.sent >= 64*gives {
		c.budget().give(float64(c.sent / gives))
		c.sent %= gives
	}
	return n, err
}
