package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/dest"
	"sallyport/proxy/parent"
)

// parentTries is how many addresses a parent is asked for one after the other.
const parentTries = 3

// through has a parent connect to a destination: to its addresses, which were
// judged, or to its name when there are none.
func (d *dial) through(ctx context.Context, p *Parent, to dest.Addr, addrs []netip.Addr) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limits(to).Parent)
	defer cancel()
	targets := []dest.Addr{to}
	if len(addrs) > 0 {
		targets = nil
		for _, a := range interleave(addrs)[:min(len(addrs), parentTries)] {
			targets = append(targets, dest.NewAddr(dest.HostFromAddr(a), to.Port()))
		}
	}
	var err error
	for _, t := range targets {
		var c net.Conn
		if c, err = d.ask(ctx, p, t); err == nil {
			return c, nil
		}
		var pe *parent.Error // another address may do; a parent that fails does not get better by it
		if !errors.As(err, &pe) || !pe.Refused || pe.Auth {
			break
		}
	}
	return nil, parentRefusal(ctx, err)
}

// ask opens a connection to a parent and asks it for one to a destination.
func (d *dial) ask(ctx context.Context, p *Parent, to dest.Addr) (net.Conn, error) {
	c, err := d.reachParent(ctx, p)
	if err != nil {
		return nil, err
	}
	if p.Scheme == "https" {
		cfg := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.gate.srv.cfg.UpstreamRoots, ServerName: p.Addr.Host().String(), NextProtos: []string{"http/1.1"}}
		p.TLS.Apply(cfg)
		tc := tls.Client(&bounded{Conn: c, left: maxHandshake}, cfg)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		tc.NetConn().(*bounded).lift(false)
		c = tc
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	if p.Scheme == "socks5" {
		err = parent.SOCKS5(c, to, p.Login)
	} else {
		err = parent.HTTP(c, to, p.Login, d.viaOfTunnel())
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// reachParent connects to a parent. Whoever named it may have it anywhere, but for
// where sallyport itself is.
func (d *dial) reachParent(ctx context.Context, p *Parent) (net.Conn, error) {
	s := d.gate.srv
	addrs, err := s.resolve(ctx, d.reach(), p.Addr.Host(), true)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if _, err := s.judge(a, true); err != nil {
			return nil, err
		}
		if ref := s.homes.refuses(netip.AddrPortFrom(a, p.Addr.Port())); ref != nil {
			return nil, ref
		}
	}
	c, at, err := race(ctx, addrs, p.Addr.Port())
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.peer = at
	d.mu.Unlock()
	return s.homes.leave(c), nil
}

// viaOfTunnel is what Via says of a tunnel, so that a circle of proxies is found.
func (d *dial) viaOfTunnel() string {
	return strings.Join(append(slices.Clone(d.flow.route.via), "1.1 "+d.gate.srv.marks.mark()), ", ")
}

// parentRefusal says in our own words why a parent gave no connection.
func parentRefusal(ctx context.Context, err error) error {
	var ref *Refusal
	var pe *parent.Error
	switch {
	case errors.As(err, &ref) && (ref.Code == "loop_detected" || ref.Code == "address_denied"):
		return ref
	case late(ctx, err):
		return refuse(http.StatusGatewayTimeout, "parent_timeout", "the proxy on the way to the destination did not connect in time").because(err)
	case errors.As(err, &pe) && pe.Auth:
		return refuse(http.StatusBadGateway, "parent_auth", "the proxy on the way to the destination wants to know who asks").because(err)
	case errors.As(err, &pe) && pe.Refused:
		return refuse(http.StatusBadGateway, "parent_refused", "the proxy on the way to the destination does not connect").because(err)
	}
	return refuse(http.StatusBadGateway, "parent_failed", "the proxy on the way to the destination failed").because(err)
}
