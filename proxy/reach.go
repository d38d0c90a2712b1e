package proxy

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"time"

	"sallyport/dest"
	"sallyport/proxy/parent"
	"sallyport/sandbox"
)

// A Reach is how upstreams are reached, in one configuration. It is not changed; the
// zero Reach dials, waits as long as DefaultTimeouts say, and verifies by the roots
// of all.
type Reach struct {
	// Resolver looks names up; nil means that of Config.
	Resolver Resolver
	// Exchanger asks for what is no address; nil means that of Config.
	Exchanger Exchanger
	// Destinations are those of which something is said; the first that matches counts.
	Destinations []Destination
	// Parents carry connections; the first that matches counts.
	Parents []Parent
	// Direct are destinations that no parent carries.
	Direct   []dest.Pattern
	Timeouts Timeouts
}

// A Guide is a Decider with the ways to upstreams of its own configuration: who is
// decided for by it goes by them, whatever replaced them since. nil is the zero Reach.
type Guide interface {
	Decider
	Reach() *Reach
}

// A Destination is what is said of some upstreams. What a binding or a via says of
// itself comes before it.
type Destination struct {
	Match dest.Pattern
	// Roots verify them, unless TLS has a CA; nil means those of Config.
	Roots *x509.CertPool
	// TLS is how they prove who they are, and who asks; nil is as for others.
	TLS *sandbox.TLS
	// MinTLS is the oldest version that is spoken with them; 0 means TLS 1.2.
	MinTLS   uint16
	Timeouts Timeouts
}

// A Parent is another proxy, of the operator's, which carries connections to some
// destinations: each in a tunnel of its own, whatever is spoken in it.
type Parent struct {
	// Match are the destinations; the zero Pattern means all.
	Match dest.Pattern
	// Scheme is http (CONNECT), https (the same in TLS) or socks5.
	Scheme string
	// Addr is where it is. It may have an address that is not public.
	Addr dest.Addr
	// TLS is how a parent of https proves who it is, and who asks.
	TLS *sandbox.TLS
	// Login is shown to it; nil shows nothing.
	Login *parent.Login
	// Names: it is told names and looks them up itself, so that nobody here can judge
	// their addresses. Otherwise it is told an address that was judged.
	Names bool
	// Credentials of destinations are put on what a parent with Names carries.
	Credentials bool
}

// String is its URL, without the login.
func (p *Parent) String() string {
	if p == nil {
		return ""
	}
	return p.Scheme + "://" + p.Addr.String()
}

// Timeouts bound the stages of reaching an upstream and being answered; what is 0 is
// the default.
type Timeouts struct {
	Resolve  time.Duration // its name has an address
	Connect  time.Duration // one of its addresses accepts
	Parent   time.Duration // a parent proxy connects to it
	TLS      time.Duration // it proves who it is
	Request  time.Duration // it takes more of a request
	Response time.Duration // it answers a request that it has whole
	Body     time.Duration // more of an answer comes
	Trailer  time.Duration // an answer that is whole but for its trailer ends (HTTP/1)
}

// DefaultTimeouts leave time for models that think and streams that are quiet, and
// little where a machine alone has to answer.
var DefaultTimeouts = Timeouts{
	Resolve: 10 * time.Second, Connect: 10 * time.Second, Parent: 15 * time.Second, TLS: 10 * time.Second,
	Request: 2 * time.Minute, Response: 10 * time.Minute, Body: DefaultTunnelIdle, Trailer: 30 * time.Second,
}

// or fills in what is not said.
func (t Timeouts) or(d Timeouts) Timeouts {
	return Timeouts{
		Resolve: cmp.Or(t.Resolve, d.Resolve), Connect: cmp.Or(t.Connect, d.Connect), Parent: cmp.Or(t.Parent, d.Parent), TLS: cmp.Or(t.TLS, d.TLS),
		Request: cmp.Or(t.Request, d.Request), Response: cmp.Or(t.Response, d.Response), Body: cmp.Or(t.Body, d.Body), Trailer: cmp.Or(t.Trailer, d.Trailer),
	}
}

// of returns what is said of a destination, or nil.
func (r *Reach) of(a dest.Addr) *Destination {
	for i := range r.Destinations {
		if r.Destinations[i].Match.Match(a) {
			return &r.Destinations[i]
		}
	}
	return nil
}

// timeouts are those towards a destination.
func (r *Reach) timeouts(a dest.Addr) Timeouts {
	t := r.Timeouts.or(DefaultTimeouts)
	if d := r.of(a); d != nil {
		t = d.Timeouts.or(t)
	}
	return t
}

// parent is who carries connections to a destination, or nil.
func (r *Reach) parent(a dest.Addr) *Parent {
	for _, p := range r.Direct {
		if p.Match(a) {
			return nil
		}
	}
	for i := range r.Parents {
		if p := &r.Parents[i]; p.Match == (dest.Pattern{}) || p.Match.Match(a) {
			return p
		}
	}
	return nil
}

// unjudged reports whether only a parent learns the addresses of a destination.
func (p *Parent) unjudged(a dest.Addr) bool {
	if p == nil || !p.Names {
		return false
	}
	_, literal := a.Host().Addr()
	return !literal
}

// withholds reports whether what proves who asks does not go to a destination.
func (p *Parent) withholds(a dest.Addr) bool { return p.unjudged(a) && !p.Credentials }

// reachOf is that of whoever decides, or that of all.
func (s *Server) reachOf(pol Decider) *Reach {
	if g, ok := pol.(Guide); ok {
		if r := g.Reach(); r != nil {
			return r
		}
	}
	if s.cfg.Reach != nil {
		return s.cfg.Reach
	}
	return &Reach{}
}

// settle puts what is said of a destination on a configuration.
func (d *Destination) settle(c *tls.Config) {
	if d == nil {
		return
	}
	c.MinVersion = max(c.MinVersion, d.MinTLS)
	if d.Roots != nil {
		c.RootCAs = d.Roots
	}
	d.TLS.Apply(c)
}

// exchanger asks for what is no address; nil when nobody does.
func (g *Gate) exchanger() Exchanger {
	if e := g.ward.Load().reach.Exchanger; e != nil {
		return e
	}
	return g.srv.cfg.Exchanger
}
