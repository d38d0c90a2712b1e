package proxy

import (
	"io"
	"net"
	"sync/atomic"
	"time"

	"sallyport/proxy/h1"
)

// A strictConn is an HTTP/1 connection that net/http reads through the strict front.
type strictConn struct {
	*h1.Conn
	flow   *flow
	bodies int64        // of requests that came so far
	owes   atomic.Int64 // until when, in Unix nanoseconds, the rest of the last may come that nobody reads; 0 is none
	lost   atomic.Bool  // it did not come, and net/http would read what comes of it as a request
}

// strict puts the strict front before an HTTP/1 connection, of which some bytes
// were read ahead.
func (f *flow) strict(c net.Conn, ahead ...byte) net.Conn {
	f.wire = h1.NewConn(c, h1.Limits{}, ahead...)
	f.strictly = &strictConn{Conn: f.wire, flow: f}
	return f.strictly
}

// Read returns valid bytes.
func (c *strictConn) Read(p []byte) (int, error) {
	if !c.lost.Load() {
		return c.Conn.Read(p)
	}
	below := c.NetConn()
	_ = below.SetReadDeadline(time.Now().Add(partWithin)) // as part does it
	_, _ = io.CopyN(io.Discard, below, 64<<10)
	return 0, net.ErrClosed
}

// SetReadDeadline sets when reading fails. While the rest of a body is owed no deadline
// is lifted. One in the future is how net/http begins to wait for a request: a
// connection that still owes then has none.
func (c *strictConn) SetReadDeadline(t time.Time) error {
	switch until := c.owes.Load(); {
	case until == 0:
	case t.IsZero():
		t = time.Unix(0, until)
	case t.After(time.Now()):
		c.owes.Store(0)
		c.lost.Store(c.Ended() < c.bodies)
	}
	return c.Conn.SetReadDeadline(t)
}

// Close ends the flow with its connection.
func (c *strictConn) Close() error {
	err := c.Conn.Close()
	c.flow.end()
	return err
}

// An arriving is a body as it comes, which says whether it was asked for, and whether
// it came to its end.
type arriving struct {
	io.ReadCloser
	asked, whole atomic.Bool
}

// Read reads what has come.
func (a *arriving) Read(p []byte) (int, error) {
	a.asked.Store(true)
	n, err := a.ReadCloser.Read(p)
	if err == io.EOF { //nolint:errorlint // as net/http says it
		a.whole.Store(true)
	}
	return n, err
}

// unread lets a client send what is left of a body that nobody reads, so that it
// finds the answer, but no longer than hurry says, whatever net/http does with the
// deadline of the connection.
func (x *exchange) unread() {
	c := x.flow.strictly
	if c == nil || x.r.ContentLength == 0 {
		return
	}
	c.bodies++
	if x.arrives == nil || !x.arrives.whole.Load() {
		until := time.Now().Add(x.srv.cfg.Patience.Leave)
		c.owes.Store(until.UnixNano())
	}
}
