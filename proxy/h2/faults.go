package h2

import (
	"encoding/binary"
	"net"
)

const typeGoAway = 0x7

// faultCodes are the error codes (RFC 9113, 7) by which a server says that its client
// made a mistake.
var faultCodes = map[uint32]string{0x1: "PROTOCOL_ERROR", 0x3: "FLOW_CONTROL_ERROR", 0x6: "FRAME_SIZE_ERROR", 0x9: "COMPRESSION_ERROR", 0xb: "ENHANCE_YOUR_CALM"}

// A Fault is a mistake of a client for which a server of HTTP/2 ended a stream, or, when
// Stream is 0, the connection. Such a server answers nothing, and calls no handler.
type Fault struct {
	Code   string // such as PROTOCOL_ERROR
	Stream uint32
}

// A Faults is a connection to which a server of HTTP/2 writes, and which tells of faults
// that pass. Nothing is changed. Write is for one goroutine at a time.
type Faults struct {
	net.Conn
	told func(Fault)

	head []byte // of the frame that passes, with the beginning of its payload, as far as that says something
	left int    // of the payload behind it
}

// NewFaults stands between a server and its connection. told is called before what it
// tells of is written, and must not write.
func NewFaults(c net.Conn, told func(Fault)) *Faults { return &Faults{Conn: c, told: told} }

// NetConn returns the connection below.
func (c *Faults) NetConn() net.Conn { return c.Conn }

// Write passes on what the server writes.
func (c *Faults) Write(p []byte) (int, error) {
	for b := p; len(b) > 0; {
		if c.left > 0 {
			n := min(c.left, len(b))
			c.left, b = c.left-n, b[n:]
			continue
		}
		n := min(c.wants()-len(c.head), len(b))
		c.head, b = append(c.head, b[:n]...), b[n:]
		if len(c.head) >= headSize && len(c.head) == c.wants() {
			c.look()
			c.left, c.head = c.size()-(len(c.head)-headSize), c.head[:0]
		}
	}
	return c.Conn.Write(p)
}

func (c *Faults) size() int { return int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2]) }

// wants is how much of a frame is looked at.
func (c *Faults) wants() int {
	if len(c.head) < headSize {
		return headSize
	}
	switch c.head[3] {
	case typeReset:
		return headSize + min(c.size(), 4)
	case typeGoAway:
		return headSize + min(c.size(), 8)
	}
	return headSize
}

func (c *Faults) look() {
	f := Fault{Stream: binary.BigEndian.Uint32(c.head[5:]) &^ (1 << 31)}
	at := headSize
	if c.head[3] == typeGoAway {
		at += 4
	}
	if c.head[3] != typeReset && c.head[3] != typeGoAway || len(c.head) < at+4 {
		return
	}
	if f.Code = faultCodes[binary.BigEndian.Uint32(c.head[at:])]; f.Code != "" {
		c.told(f)
	}
}
