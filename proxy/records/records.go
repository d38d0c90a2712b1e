// Package records counts the records of TLS that a client sends and that carry nothing.
package records

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// ErrFlood ends a connection whose client sends too much that carries nothing.
var ErrFlood = errors.New("records: too many records of TLS that carry nothing")

// Free are the records without data that each connection may have uncounted: a handshake
// and, afterwards, new keys.
const Free = 32

// A Conn is the server's side of a TLS connection. crypto/tls ends one after 16 records in
// a row that bring it no further (keys that are updated, empty records, alerts), but counts
// anew with each byte of data between them; here they are counted as long as the connection
// lives. Read and HandshakeContext are for one goroutine at a time.
type Conn struct {
	*tls.Conn
	wire  *wire
	more  func() bool
	flood func()
	free  int
	ended bool
}

// Server stands in for tls.Server. more asks for room for one more record that carries
// nothing. When there is none, Read calls flood, once, and fails with ErrFlood, as does a
// handshake.
func Server(c net.Conn, cfg *tls.Config, more func() bool, flood func()) *Conn {
	w := &wire{Conn: c}
	out := &Conn{Conn: tls.Server(w, cfg), wire: w, more: more, flood: flood, free: Free}
	w.room = out.room
	return out
}

// HandshakeContext shakes hands. All records of it are counted.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	defer func() { c.wire.room = nil }()
	return c.Conn.HandshakeContext(ctx)
}

// Read reads what the client sends.
func (c *Conn) Read(p []byte) (int, error) {
	if c.ended {
		return 0, ErrFlood
	}
	before := c.wire.records
	n, err := c.Conn.Read(p)
	useless := c.wire.records - before
	if useless > 0 && (n > 0 || err != nil) { // the last brought data, or the end
		useless--
	}
	for range useless {
		if !c.room() {
			c.ended = true
			c.flood()
			return 0, ErrFlood
		}
	}
	return n, err
}

// room takes that of one record, if there is some.
func (c *Conn) room() bool {
	if c.free > 0 {
		c.free--
		return true
	}
	return c.more()
}
