package proxy

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/proxy/h1"
)

// A route is how a connection came in and what it was meant for.
type route struct {
	ingress string         // transparent, connect, forward, socks
	dst     netip.AddrPort // the address that was connected to; zero when there is none
	connect dest.Addr      // the authority of a CONNECT request; zero when there is none
	shown   *shown         // at a door; nil where none asks
	via     []string       // other sallyports that a CONNECT request came through
	// answer tells a client that waits for it whether the connection is made; nil
	// where none does.
	answer func(*Refusal) error
}

// A flow is one connection of a sandbox: what requests on it share.
type flow struct {
	gate  *Gate
	id    string
	raw   net.Conn
	route route

	// name is the name that was handed out for dst, or the authority of CONNECT.
	name  dest.Host
	port  uint16
	https bool
	clear bool // HTTP/2 without TLS
	sni   dest.Host
	tls   *audit.TLS
	// mismatch is what every request on this connection is answered: its layers
	// disagree on where it goes.
	mismatch *Refusal
	// asked is whom the last decision about the connection itself was about.
	asked *ward

	wire     *h1.Conn    // nil for h2
	strictly *strictConn // above it
	door     *doorConn   // nil but for h2 of the explicit proxy
	mute     atomic.Bool // it asked the explicit proxy for nothing yet
	once     sync.Once
}

type flowKey struct{}

func flowFrom(ctx context.Context) *flow {
	f, _ := ctx.Value(flowKey{}).(*flow)
	return f
}

// newFlow registers a connection that the gate let enter.
func (g *Gate) newFlow(c net.Conn, r route) *flow {
	f := &flow{gate: g, id: audit.NewID(), raw: c, route: r}
	f.mute.Store(r.ingress == "forward")
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flows[f] = struct{}{}
	if g.closed {
		sever(c)
	}
	return f
}

// end closes the connection and gives its slot back.
func (f *flow) end() {
	f.once.Do(func() {
		_ = f.raw.Close()
		f.route.shown.left()
		f.gate.mu.Lock()
		delete(f.gate.flows, f)
		f.gate.mu.Unlock()
		f.gate.conns.Add(-1)
	})
}

// reset ends a connection so that the client sees it was refused, not finished.
func (f *flow) reset() {
	unsettled(f.raw)
	sever(f.raw)
	f.end()
}

// sever closes the socket below a connection. Closing TLS itself would say goodbye
// first: a cut would look like an end, and whoever takes nothing would be waited for
// (hostile 362).
func sever(c net.Conn) {
	for {
		above, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			_ = c.Close()
			return
		}
		c = above.NetConn()
	}
}

func (f *flow) event(n audit.Name) *audit.Event {
	ev := f.gate.event(n)
	ev.Connection = audit.Connection{ID: f.id, Ingress: f.route.ingress, Client: addrPort(f.raw.RemoteAddr()), Original: f.route.dst, TLS: f.tls}
	return ev
}

func (g *Gate) event(n audit.Name) *audit.Event {
	sb := g.Sandbox()
	return &audit.Event{Name: n, Sandbox: audit.Sandbox{ID: sb.ID, Name: sb.Name, Way: string(sb.Identity.Way), Labels: sb.Labels}}
}

// handOver gives the flow's slot to the one that takes its connection on.
func (f *flow) handOver() {
	f.once.Do(func() {
		f.gate.mu.Lock()
		delete(f.gate.flows, f)
		f.gate.mu.Unlock()
	})
}

// A flowConn lets an h2 connection be traced back to its flow.
type flowConn struct {
	net.Conn
	flow *flow
}

// Close ends the flow with its connection.
func (c *flowConn) Close() error {
	err := c.Conn.Close()
	c.flow.end()
	return err
}

// flowOf returns the flow of a connection that was handed to a server of ours.
func flowOf(c net.Conn) *flow {
	switch c := c.(type) {
	case *strictConn:
		return c.flow
	case *flowConn:
		return c.flow
	}
	return nil
}

// violation is why a request stands for what could not be read, or nil.
func (f *flow) violation(r *http.Request) *h1.Error {
	if f.wire == nil {
		return nil
	}
	return f.wire.Refused(r)
}

// deadline bounds a read or write on the raw connection; 0 lifts it.
func (f *flow) deadline(d time.Duration) {
	var t time.Time
	if d > 0 {
		t = time.Now().Add(d)
	}
	_ = f.raw.SetDeadline(t)
}
