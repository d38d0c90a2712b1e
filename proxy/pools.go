package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/proxy/h1"
	"sallyport/sandbox"
)

// pools are the upstream connections of one sandbox: no other uses them, and those
// that were opened in one manner serve nothing else, since a pool knows a connection
// by its name and port alone.
type pools struct {
	gate  *Gate
	reach *Reach
	keep  bool // connections are used again: nobody asks about addresses

	mu  sync.Mutex
	by  map[manner]*http.Transport
	tls map[*tls.Conn]*audit.TLS // what is said of connections, which does not change
}

// A manner is how connections are opened and to whom they prove what.
type manner struct {
	within bool         // a binding or a via named the destination
	via    bool         // it is a via's
	tls    string       // the key of what they say of TLS
	as     *Destination // what the configuration says of the destination; nil when it is not that which counts
	bare   bool         // nobody proves who asks
	clear  bool         // HTTP/2 without TLS is spoken
}

// maxTLS bounds what is remembered of connections.
const maxTLS = 512

// tlsOf is what a record says of a connection.
func (p *pools) tlsOf(c *tls.Conn) *audit.TLS {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.tls[c]; t != nil {
		return t
	}
	if len(p.tls) >= maxTLS {
		clear(p.tls)
	}
	t := tlsRecord(c.ConnectionState())
	if b, ok := c.NetConn().(*bounded); ok {
		t.ClientSHA256 = b.client
	}
	p.tls[c] = t
	return t
}

func newPools(g *Gate, pol Decider, r *Reach) *pools {
	return &pools{gate: g, reach: r, keep: !pol.Has(policy.Dial), by: map[manner]*http.Transport{}, tls: map[*tls.Conn]*audit.TLS{}}
}

// of is the pool of a request.
func (p *pools) of(x *exchange) *http.Transport {
	m := manner{clear: x.clear(), within: x.within(), bare: p.reach.parent(x.final).withholds(x.final)}
	settings := x.bound.TLS
	if x.over != nil {
		m.via, settings = true, x.over.TLS
	}
	if m.tls = settings.Key(); settings == nil {
		m.as = p.reach.of(x.final)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.by[m]
	if t == nil {
		t = p.transport(m, settings)
		p.by[m] = t
	}
	return t
}

func (p *pools) transport(m manner, settings *sandbox.TLS) *http.Transport {
	s := p.gate.srv
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.cfg.UpstreamRoots, NextProtos: []string{"h2", "http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(256)}
	settings.Apply(cfg)
	m.as.settle(cfg)
	if m.bare {
		cfg.Certificates = nil
	}
	if len(cfg.Certificates) > 0 { // a session that is resumed does not say whom it was opened for
		cfg.ClientSessionCache = nil
	}
	t := &http.Transport{
		Proxy:                  nil, // never the environment's: it could be ourselves
		DialContext:            p.dialPlain,
		DialTLSContext:         p.dialTLS(cfg),
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		DisableKeepAlives:      !p.keep, // each request asks about its addresses
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        75 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: upstreamWindow},
	}
	if m.clear {
		t.DialContext, t.DialTLSContext, t.ForceAttemptHTTP2 = p.dialClear, nil, false
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return t
}

func (p *pools) dialPlain(ctx context.Context, _, address string) (net.Conn, error) {
	c, err := p.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return &upstreamConn{h1.NewUpstream(c), c}, nil
}

func (p *pools) dialTLS(base *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		c, err := p.dial(ctx, address)
		if err != nil {
			return nil, err
		}
		a, err := dest.ParseAddr(address)
		if err != nil {
			_ = c.Close()
			return nil, err
		}
		cfg := base.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName = a.Host().String()
		}
		d := dialFrom(ctx)
		if d.x.websocket {
			cfg.NextProtos = []string{"http/1.1"}
		}
		tc, err := d.handshake(ctx, c, cfg, d.limits(a))
		if err != nil {
			return nil, err
		}
		if tc.ConnectionState().NegotiatedProtocol == "h2" {
			return tc, nil
		}
		return &upstreamConn{h1.NewUpstream(tc), tc}, nil
	}
}

func (p *pools) dial(ctx context.Context, address string) (net.Conn, error) {
	d := dialFrom(ctx)
	if d == nil || d.gate != p.gate {
		return nil, refuse(http.StatusInternalServerError, "internal", "a connection was asked for outside of an exchange")
	}
	to, err := dest.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	return d.dial(ctx, to, d.x.question())
}

func (p *pools) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.by {
		t.CloseIdleConnections()
	}
}
