package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"sallyport/dest"
	"sallyport/proxy/canon"
	"sallyport/proxy/h2"
	"sallyport/proxy/records"
)

// streamMark is the field of an answer to CONNECT that names its connection.
const streamMark = "sallyport-connection"

// A doorServer reads the requests of HTTP/2 connections to the explicit proxy. It is
// not an http.Server, which takes no connection but its own for one over TLS.
type doorServer struct {
	base *http.Server
	//lint:ignore SA1019 net/http serves no connection that somebody else stands before
	h2    *http2.Server
	conns atomic.Int64 // that are served
}

func (s *Server) newDoorServer() (*doorServer, error) {
	//lint:ignore SA1019 as above
	d := &doorServer{base: s.httpServer(false, true, false), h2: new(http2.Server)}
	//lint:ignore SA1019 as above
	return d, http2.ConfigureServer(d.base, d.h2)
}

// serve reads requests until the connection ends.
func (d *doorServer) serve(c *doorConn) {
	defer d.conns.Add(-1)
	defer func() { _ = c.Close() }()
	ctx := context.WithValue(context.Background(), flowKey{}, c.flow)
	//lint:ignore SA1019 as above
	d.h2.ServeConn(c, &http2.ServeConnOpts{Context: ctx, BaseConfig: d.base})
}

// shutdown tells clients that nothing more is taken, and waits until what is under
// way has ended.
func (d *doorServer) shutdown(ctx context.Context) error {
	err := d.base.Shutdown(ctx)
	for d.conns.Load() > 0 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	return errors.Join(err, ctx.Err())
}

// A doorConn is a connection of a client that speaks HTTP/2 with the explicit proxy.
type doorConn struct {
	*h2.Conn
	tls   *records.Conn
	flow  *flow
	ahead []byte
}

// share takes a connection, of which a byte was read, to where many requests are read
// beside each other.
func (f *flow) share(c *records.Conn, ahead byte) {
	if s := f.route.shown; s != nil {
		s.mu.Lock()
		s.many = true
		s.mu.Unlock()
	}
	f.door = &doorConn{Conn: h2.NewConn(f.framed(c, 1), streamMark), tls: c, flow: f, ahead: []byte{ahead}}
	d := f.gate.srv.doors
	d.conns.Add(1)
	go d.serve(f.door)
}

// Read reads what the client sends. It is for one goroutine.
func (c *doorConn) Read(p []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// ConnectionState lets requests say whether their :scheme is https.
func (c *doorConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Close ends the flow with its connection.
func (c *doorConn) Close() error {
	err := c.Conn.Close()
	c.flow.end()
	return err
}

// connectFields refuses what CONNECT of HTTP/2 must not say beside its authority,
// which HTTP/1 refuses below (RFC 9113, 8.5).
func connectFields(r *http.Request, to dest.Addr) *Refusal {
	if err := canon.Headers(r.Header); err != nil {
		return refusalOf(err)
	}
	for _, h := range r.Header["Host"] {
		if a, err := dest.ParseAuthority(h, to.Port()); err != nil || a != to {
			return refuse(http.StatusBadRequest, "authority_contradiction", "Host and the target of CONNECT differ")
		}
	}
	if len(r.Header["Content-Length"]) > 0 {
		return refuse(http.StatusBadRequest, "framing_invalid", "CONNECT has no body, and so no length")
	}
	return nil
}
