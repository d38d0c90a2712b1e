// Package proxy carries a sandbox's traffic out if policy lets it.
package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"sallyport/audit"
	"sallyport/credentials"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/proxy/leaf"
)

// A Decider answers questions about traffic. It is safe for concurrent use.
type Decider interface {
	// Decide never returns nil; an answer that could not be had is one that denies.
	Decide(context.Context, *policy.Question) *policy.Decision
	// Has reports whether anybody wrote rules for a phase: one without is not asked.
	Has(policy.Phase) bool
	// Reads reports whether a phase can read a part of its input.
	Reads(ph policy.Phase, path ...string) bool
}

// A Recorder keeps the audit log. It is safe for concurrent use.
type Recorder interface {
	// Record returns when the event is durable. Its context bounds the waiting, not the writing.
	Record(context.Context, *audit.Event) (audit.Receipt, error)
	// Append hands an event over without waiting for the disk.
	Append(*audit.Event) error
}

// A Keeper holds credentials and puts them on requests. It is safe for concurrent use.
type Keeper interface {
	Grant(context.Context, credentials.Target, []credentials.Ask) (*credentials.Grant, error)
	Strip(credentials.Target, *credentials.Request) ([]string, error)
	// Watch is for answers of a host to which something is bound, where nothing was asked for; nil otherwise.
	Watch(credentials.Target) *credentials.Grant
	// Revoked reports whether a credential is given to nobody any more.
	Revoked(name string) bool
	RedactString(string) string
}

// An Issuer makes the certificates of intercepted connections. It is safe for concurrent use.
type Issuer interface {
	// LeafWithin charges the budget for a certificate that has to be made.
	LeafWithin(context.Context, dest.Host, *leaf.Budget) (*tls.Certificate, error)
}

// A Resolver finds the addresses of an absolute name. It is safe for concurrent use.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// An Exchanger asks name servers for the records of one type of an absolute name, and
// returns the answer as a message (RFC 1035, 4.1). It is safe for concurrent use.
type Exchanger interface {
	Exchange(ctx context.Context, name string, qtype uint16) ([]byte, error)
}

// What a sandbox may have when nothing is said of it.
const (
	DefaultConns      = 4096
	DefaultRequests   = 1024
	DefaultTunnelIdle = 15 * time.Minute
)

// A Config is what a Server needs. Audit, Credentials and Issuer are required.
type Config struct {
	Audit       Recorder
	Credentials Keeper
	Issuer      Issuer

	// Resolver is asked with a trailing dot, so that no search list applies; nil
	// means the system's servers through Go's own resolver.
	Resolver Resolver
	// Reach is how upstreams are reached where whoever decides says nothing else; nil is
	// the zero Reach.
	Reach *Reach
	// Exchanger is asked what policy grants that is no address; nil asks nobody.
	Exchanger Exchanger
	// AllowPrivate opens prefixes that are not public, except metadata addresses.
	AllowPrivate []netip.Prefix
	// UpstreamRoots verify upstream certificates; nil means the system's.
	UpstreamRoots *x509.CertPool
	// Log is of the proxy itself; the zero Logger is silent.
	Log zerolog.Logger

	// SniffTimeout bounds the wait for a connection's first bytes; 0 means 5 s. It is
	// shorter on ports of services that speak before their clients.
	SniffTimeout time.Duration
	// MaxConns bounds the connections of one sandbox, unless it has limits of its own; 0 means 4096.
	MaxConns int
	// MaxRequests bounds the requests of one sandbox that are under way; 0 means 1024.
	MaxRequests int
	// MaxInspected bounds the memory, in bytes, for bodies that policies read, of all
	// sandboxes together; 0 means 256 MiB.
	MaxInspected int64
	// Own reports whether an address is this machine's: such a one is as shut as a
	// private one. nil asks the kernel.
	Own func(netip.Addr) (bool, error)
	// TunnelIdle ends a tunnel or a WebSocket in which neither side says anything, and an
	// exchange whose client stops in its request, or sends less than 4 KiB of it in that
	// time, or does not take its answer; 0 means 15 min.
	TunnelIdle time.Duration
	// TunnelLife ends a tunnel or a WebSocket however much it carries; 0 does not.
	TunnelLife time.Duration
	// Progress is how often it is recorded what passes in a tunnel or a WebSocket; 0 means each minute.
	Progress time.Duration
	// MaxRate bounds the requests that one sandbox begins in a second; 0 does not.
	MaxRate int
	// Patience is how long clients are waited for elsewhere.
	Patience Patience
}

// A Server is one proxy for many sandboxes: Open makes the gate of each.
type Server struct {
	cfg      Config
	inner    *http.Server // requests of HTTP/1, of intercepted and plain transparent connections
	outer    *http.Server // requests to the explicit proxy
	frames   *http.Server // requests of HTTP/2, of intercepted and plain connections
	doors    *doorServer  // requests of HTTP/2 to the explicit proxy
	in, out  *handoff
	inFrames *handoff
	forward  http.Handler // goproxy
	marks    *marks
	homes    *homes

	inspected atomic.Int64 // bytes of memory

	close func()

	mu    sync.Mutex
	gates map[*Gate]struct{}
	wg    sync.WaitGroup
}

// New makes a Server and starts the goroutines that serve requests; Close ends them.
func New(cfg Config) (*Server, error) {
	if cfg.Audit == nil || cfg.Credentials == nil || cfg.Issuer == nil {
		return nil, errors.New("proxy: audit, credentials and issuer are required")
	}
	if cfg.Resolver == nil {
		cfg.Resolver = &net.Resolver{PreferGo: true}
	}
	if cfg.SniffTimeout == 0 {
		cfg.SniffTimeout = 5 * time.Second
	}
	cfg.TunnelIdle = cmp.Or(cfg.TunnelIdle, DefaultTunnelIdle)
	cfg.Progress = cmp.Or(cfg.Progress, time.Minute)
	cfg.Patience = cfg.Patience.or(defaultPatience)
	if cfg.MaxConns == 0 {
		cfg.MaxConns = DefaultConns
	}
	if cfg.MaxRequests == 0 {
		cfg.MaxRequests = DefaultRequests
	}
	stop := func() {}
	if cfg.Own == nil {
		own, err := newOwnAddresses()
		if err != nil {
			return nil, err
		}
		cfg.Own, stop = own.has, own.close
	}
	m, err := newMarks()
	if err != nil {
		return nil, err
	}
	if cfg.MaxInspected == 0 {
		cfg.MaxInspected = 256 << 20
	}
	s := &Server{marks: m, homes: newHomes(cfg.Own, cfg.Patience.Take), close: stop, cfg: cfg, in: newHandoff(), out: newHandoff(), inFrames: newHandoff(), gates: map[*Gate]struct{}{}}
	s.forward = newForwarder(s)
	s.inner, s.outer, s.frames = s.httpServer(true, false, false), s.httpServer(true, false, false), s.httpServer(false, false, true)
	if s.doors, err = s.newDoorServer(); err != nil {
		stop()
		return nil, err
	}
	s.wg.Go(func() { _ = s.inner.Serve(s.in) })
	s.wg.Go(func() { _ = s.outer.Serve(s.out) })
	s.wg.Go(func() { _ = s.frames.Serve(s.inFrames) })
	return s, nil
}

// maxHead bounds one request head; beyond it 431 or 414.
const maxHead = 64 << 10

// ages bound an answer of a server of ours. What ends one is elsewhere; but to set a
// deadline of a stream of HTTP/2 that is closed would keep it, unless it had one.
const ages = 10 * 365 * 24 * time.Hour

func (s *Server) httpServer(h1, h2, h2c bool) *http.Server {
	p := new(http.Protocols)
	p.SetHTTP1(h1)
	p.SetHTTP2(h2)
	p.SetUnencryptedHTTP2(h2c)
	return &http.Server{
		Handler:                      http.HandlerFunc(s.serve),
		Protocols:                    p,
		ReadHeaderTimeout:            s.cfg.Patience.Handshake,
		WriteTimeout:                 ages,
		IdleTimeout:                  s.cfg.Patience.Keep,
		MaxHeaderBytes:               maxHead,
		DisableGeneralOptionsHandler: true,
		HTTP2:                        inwards(),
		ErrorLog:                     discardLog,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, flowKey{}, flowOf(c))
		},
	}
}

// Shutdown stops accepting, lets what is under way end until ctx is done, then
// cuts it.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	var gates []*Gate
	for g := range s.gates {
		gates = append(gates, g)
	}
	s.mu.Unlock()
	for _, g := range gates {
		g.drain(ctx)
	}
	var wg sync.WaitGroup
	downs := [...]func(context.Context) error{s.outer.Shutdown, s.doors.shutdown, s.inner.Shutdown, s.frames.Shutdown}
	var errs [len(downs)]error
	for i, down := range downs {
		wg.Go(func() { errs[i] = down(ctx) })
	}
	wg.Wait()
	err := errors.Join(errs[:]...)
	if err != nil {
		_, _, _ = s.outer.Close(), s.inner.Close(), s.frames.Close()
	}
	for _, g := range gates {
		wg.Go(func() { g.goAway(ctx) })
	}
	wg.Wait()
	for _, g := range gates {
		g.Close()
		g.ended()
	}
	s.wg.Wait()
	s.close()
	return err
}
