package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sallyport/dest"
	"sallyport/proxy/leaf"
	"sallyport/sandbox"
)

// Names are the synthetic addresses of one sandbox.
type Names interface {
	// Lookup returns the name that an address stands for; synthetic reports
	// whether the address is in the ranges from which names are given out.
	Lookup(netip.Addr) (name dest.Host, known, synthetic bool)
}

// A Gate is the way out of one sandbox. What comes on its listeners is that
// sandbox's, by the socket alone.
type Gate struct {
	srv       *Server
	ward      atomic.Pointer[ward]
	names     Names
	budget    *leaf.Budget
	tls       *tlsServer
	floods    *floods
	failed    *failures
	inspected atomic.Int64 // bytes of memory
	exchanges atomic.Int64 // that have no outcome yet
	conns     atomic.Int64 // connections open
	active    atomic.Int64 // requests under way
	pace      pace         // of requests
	quotas    quotas       // of policies
	questions questions    // that name servers are asked
	slack     slack        // for what carries nothing

	ctx    context.Context
	cancel context.CancelFunc

	mu        sync.Mutex
	going     int       // goroutines of connections
	gone      sync.Cond // there are none
	listeners []net.Listener
	flows     map[*flow]struct{}
	live      map[*live]struct{}
	relays    map[*relay]struct{}
	closed    bool
	once      sync.Once
}

// Open makes the gate of a sandbox, for which a policy decides. names may be nil
// when its addresses were not given out by us.
func (s *Server) Open(sb *sandbox.Sandbox, pol Decider, names Names) *Gate {
	ctx, cancel := context.WithCancel(context.Background())
	g := &Gate{
		srv: s, names: names, ctx: ctx, cancel: cancel,
		budget: leaf.NewBudget(),
		tls:    newTLSServer(),
		failed: newFailures(),
		flows:  map[*flow]struct{}{},
		live:   map[*live]struct{}{},
		relays: map[*relay]struct{}{},
	}
	g.gone.L = &g.mu
	g.ward.Store(g.newWard(sb, pol, nil))
	g.floods = newFloods(g)
	s.mu.Lock()
	s.gates[g] = struct{}{}
	s.mu.Unlock()
	return g
}

// Sandbox returns what is known of the sandbox now.
func (g *Gate) Sandbox() *sandbox.Sandbox { return g.ward.Load().sb }

// Exists reports whether a name may have an address: where nothing but bindings
// exists, no other has one.
func (g *Gate) Exists(h dest.Host) bool {
	sb := g.Sandbox()
	return sb.Mode != sandbox.Sealed || sb.Binds(h)
}

// ServeTransparent accepts connections whose local address is the destination
// that was meant. It returns when the listener is closed.
func (g *Gate) ServeTransparent(l net.Listener) error {
	return g.accept(l, func(c net.Conn) {
		g.carry(c, route{ingress: "transparent", dst: addrPort(c.LocalAddr())})
	})
}

// ServeExplicit accepts connections of clients that were told of a proxy: HTTP
// in absolute form, CONNECT, and SOCKS5.
func (g *Gate) ServeExplicit(l net.Listener) error {
	return g.accept(l, func(c net.Conn) {
		g.newFlow(c, route{ingress: "forward"}).hear(c)
	})
}

func (g *Gate) accept(l net.Listener, serve func(net.Conn)) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		_ = l.Close()
		return net.ErrClosed
	}
	g.listeners = append(g.listeners, l)
	g.mu.Unlock()
	defer g.forget(l)
	defer g.srv.homes.add(l, false)()
	for delay := time.Duration(0); ; {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EINVAL) || g.ctx.Err() != nil { // closed, or shut down
			return nil
		}
		if err != nil { // descriptors are short, or the peer is gone already
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			g.srv.cfg.Log.Warn().Err(err).Str("sandbox", g.Sandbox().Name).Msg("accept")
			select {
			case <-time.After(delay):
			case <-g.ctx.Done():
			}
			continue
		}
		delay = 0
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(-1) // it is inherited, and would make closing wait
			patient(g.srv.cfg.Patience.Take, t)
		}
		if ref := g.enters(c); ref != nil {
			g.refuseConn(c, addrPort(c.LocalAddr()), ref)
			continue
		}
		g.goes(c, func() { serve(c) })
	}
}

// forget lets go of a listener that was closed.
func (g *Gate) forget(l net.Listener) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.listeners, l); i >= 0 {
		g.listeners = slices.Delete(g.listeners, i, i+1)
	}
}

// goes does something about a connection in a goroutine of its own. A bug ends
// that connection, not the proxy (hostile 147).
func (g *Gate) goes(c net.Conn, do func()) {
	g.mu.Lock()
	g.going++
	g.mu.Unlock()
	go func() {
		defer g.went()
		defer func() {
			if p := recover(); p != nil {
				g.srv.cfg.Log.Error().Str("panic", fmt.Sprint(p)).Bytes("stack", debug.Stack()).Str("sandbox", g.Sandbox().Name).Msg("connection")
				_ = c.Close()
			}
		}()
		do()
	}()
}

func (g *Gate) went() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.going--; g.going == 0 {
		g.gone.Broadcast()
	}
}

// wait returns when nothing goes on. Requests that are under way may begin more.
func (g *Gate) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.going > 0 {
		g.gone.Wait()
	}
}

// drain stops accepting and waits for connections that are being sniffed or
// tunnelled until ctx is done.
func (g *Gate) drain(ctx context.Context) {
	g.closeListeners()
	done := make(chan struct{})
	go func() { g.wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// ended waits until the requests that were cut have their outcomes, which takes no
// longer than noticing it.
func (g *Gate) ended() {
	for range 200 {
		if g.exchanges.Load() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (g *Gate) closeListeners() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, l := range g.listeners {
		_ = l.Close()
	}
	for f := range g.flows { // nobody waits for those that asked for nothing
		if f.mute.Load() {
			sever(f.raw)
		}
	}
}

// Close cuts everything that the sandbox has open and waits for its goroutines.
func (g *Gate) Close() { g.once.Do(g.close) }

func (g *Gate) close() {
	g.closeListeners()
	g.cancel()
	g.mu.Lock()
	for f := range g.flows {
		sever(f.raw)
	}
	g.mu.Unlock()
	g.wait()
	g.ward.Load().pools.close()
	g.floods.close()
	g.srv.mu.Lock()
	delete(g.srv.gates, g)
	g.srv.mu.Unlock()
}

// addrPort is a socket's address without the mapping of IPv4 into IPv6.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
