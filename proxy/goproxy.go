package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"

	"github.com/elazarl/goproxy"
)

// newForwarder makes goproxy into what it is here: the point where CONNECT is
// decided, and the chain that carries every other request to roundTrip and its
// response back. Its interception, signer, transport and conditions are unused;
// what it would do by default with headers, dialling and the environment is off.
func newForwarder(s *Server) http.Handler {
	p := goproxy.NewProxyHttpServer()
	p.Logger = discardLog
	p.Tr = &http.Transport{DialContext: noDial}
	p.ConnectDial = nil
	p.ConnectDialWithReq = nil
	p.KeepHeader = true
	p.KeepAcceptEncoding = true
	p.KeepDestinationHeaders = true
	p.NonproxyHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(http.StatusBadRequest, "not_a_proxy_request", "a proxy expects a target with a scheme and a host").closing().write(w, r, "")
	})
	roundTrip := goproxy.RoundTripperFunc(func(req *http.Request, _ *goproxy.ProxyCtx) (*http.Response, error) {
		return exchangeFrom(req.Context()).roundTrip(req), nil
	})
	p.OnRequest().DoFunc(func(req *http.Request, ctx *goproxy.ProxyCtx) (*http.Request, *http.Response) {
		ctx.RoundTripper = roundTrip
		return req, nil
	})
	open := &goproxy.ConnectAction{Action: goproxy.ConnectHijack, Hijack: func(req *http.Request, c net.Conn, _ *goproxy.ProxyCtx) {
		s.connected(req, c)
	}}
	p.OnRequest().HandleConnectFunc(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		return open, host
	})
	return p
}

// connected answers a CONNECT and lets the connection meet the transparent ones.
func (s *Server) connected(req *http.Request, c net.Conn) {
	x := exchangeFrom(req.Context())
	if t, ok := c.(*stream); ok {
		x.opened(t)
		return
	}
	f := x.flow
	f.deadline(0)
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\nSallyport-Connection: "+f.id+"\r\n\r\n"); err != nil {
		f.end()
		return
	}
	g := f.gate
	r := route{ingress: "connect", connect: x.target, shown: f.route.shown, via: x.via}
	// The flow of the explicit request ends here and hands its slot to the next.
	f.handOver()
	g.goes(c, func() { g.carry(c, r) })
}

// A connectWriter replays what the client sent behind its CONNECT, which
// goproxy would lose.
type connectWriter struct{ http.ResponseWriter }

// Hijack returns the connection with the bytes that were read ahead.
func (w *connectWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	var early []byte
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Reader.Peek(n)
		early = bytes.Clone(b)
	}
	sc := c.(*strictConn)
	return &tunnelConn{Conn: sc.Conn.NetConn(), raw: sc.flow.raw, early: append(early, sc.Conn.Rest()...)}, rw, nil
}

// A tunnelConn is a connection after CONNECT, at which the strict front ends: early
// bytes first, then what it would read.
type tunnelConn struct {
	net.Conn          // raw, or TLS on it
	raw      net.Conn // the socket
	early    []byte
}

func (c *tunnelConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// Unread takes out what was read already.
func (c *tunnelConn) Unread() (head []byte, below net.Conn) {
	head, c.early = c.early, nil
	return head, c.Conn
}

// NetConn returns the socket below.
func (c *tunnelConn) NetConn() net.Conn { return c.raw }

// CloseWrite passes a half-close on.
func (c *tunnelConn) CloseWrite() error {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return nil
}
