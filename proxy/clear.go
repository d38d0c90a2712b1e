package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	"sallyport/proxy/canon"
)

// clear reports whether a request goes on as HTTP/2 without TLS: it came as that,
// or is gRPC, which is spoken over nothing else.
func (x *exchange) clear() bool {
	return x.fscheme == "http" && x.r.ProtoMajor == 2 && (x.flow.clear || canon.GRPCOf(x.facts.ContentType) == canon.GRPCPlain)
}

// dialClear opens a connection on which HTTP/2 is spoken without having been
// agreed on: RFC 9113, 3.3.
func (p *pools) dialClear(ctx context.Context, _, address string) (net.Conn, error) {
	c, err := p.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	below := &bounded{Conn: c}
	below.lift(true)
	cc := &clearConn{Conn: below}
	dialFrom(ctx).clear.Store(cc)
	return cc, nil
}

// A clearConn holds that the first that a server sends are its settings, as RFC
// 9113, 3.4 has it: one that does not speak HTTP/2 says something else. Read is
// for one goroutine.
type clearConn struct {
	net.Conn
	begun  bool
	head   []byte      // read to know, and not passed on
	spoken atomic.Bool // it is HTTP/2
}

const (
	frameHead     = 9
	frameSettings = 4 // type, in the fourth byte: RFC 9113, 6.5
)

var errNotHTTP2 = errors.New("it does not begin with settings")

// Read reads what the server sends.
func (c *clearConn) Read(p []byte) (int, error) {
	if !c.begun {
		c.begun = true
		head := make([]byte, frameHead)
		if _, err := io.ReadFull(c.Conn, head); err != nil {
			return 0, err
		}
		if head[3] != frameSettings {
			return 0, errNotHTTP2
		}
		c.head = head
		c.spoken.Store(true)
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// unclear says of what failed on a new connection that the server does not speak
// HTTP/2, when it never did.
func (d *dial) unclear(err error) error {
	var ref *Refusal
	c := d.clear.Load()
	if c == nil || c.spoken.Load() || errors.As(err, &ref) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return refuse(http.StatusBadGateway, "h2c_failed", "the destination does not speak HTTP/2 without TLS").because(err)
}
