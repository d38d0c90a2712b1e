package terms

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"sallyport/dest"
	"sallyport/sandbox"
)

// Grants are what the flags of run add to the default policy.
type Grants struct {
	Allow []dest.Pattern
	TCP   []dest.Addr
	Bind  []sandbox.Binding
}

// parseBinding reads a name, which may have a port, and its target: a URL of http or
// https, or one of tcp or HOST:PORT for raw TCP. Without a scheme the name has a port:
// nobody is given bytes who meant requests.
func parseBinding(name, target string) (b sandbox.Binding, err error) {
	h, port, hasPort := strings.Cut(name, ":")
	if b.Host, err = dest.ParseHost(h); err != nil {
		return b, err
	}
	if _, ip := b.Host.Addr(); ip {
		return b, errors.New("a binding has a name, not an address")
	}
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return b, fmt.Errorf("port %q is not a number from 1 to 65535", port)
		}
		b.Port = uint16(n)
	}
	scheme, at, ok := strings.Cut(target, "://")
	if !ok {
		if at = target; !hasPort {
			return b, fmt.Errorf("%s says no scheme: write http://%[1]s, https://%[1]s, or tcp://%[1]s for raw TCP", target)
		}
		scheme = "tcp"
	}
	def := uint16(0)
	switch scheme {
	case "tcp":
		if b.Target, err = dest.ParseAddr(at); err == nil && b.Port == 0 {
			b.Port = b.Target.Port()
		}
		return b, err
	case "http":
		def = 80
	case "https":
		def = 443
	default:
		return b, fmt.Errorf("the scheme %q: a target is of http, https or tcp", scheme)
	}
	u, err := url.Parse(target)
	if err != nil {
		return b, errors.New("the target is no URL")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return b, errors.New("a target has no user, query or fragment")
	}
	b.TargetScheme = u.Scheme
	if b.Target, err = dest.ParseAuthority(u.Host, def); err != nil {
		return b, err
	}
	b.PathPrefix = strings.TrimRight(u.EscapedPath(), "/")
	return b, nil
}

// ParsePrefix reads a prefix, or an address, which is one of its own.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q: expected a prefix such as 10.1.0.0/16", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q: the address has bits beyond its prefix; did you mean %s?", s, p.Masked())
	}
	return p, nil
}

// ParseResolve reads a name and the address that it has.
func ParseResolve(name, address string) (dest.Host, netip.Addr, error) {
	host, err := dest.ParseHost(name)
	if err != nil {
		return dest.Host{}, netip.Addr{}, err
	}
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Zone() != "" {
		return dest.Host{}, netip.Addr{}, fmt.Errorf("%q is no address, such as 192.0.2.7", address)
	}
	return host, addr.Unmap(), nil
}

// Data is what the default policy reads as data.run: ports by host, of which 0
// stands for those of the web.
func (g Grants) Data(creds []CredentialGrant, mode sandbox.Mode) map[string]any {
	by := map[string]map[string]any{"allow": {}, "below": {}, "tcp": {}, "web": {}, "raw": {}, "credentials": {}}
	add := func(k, host string, v any) {
		list, _ := by[k][host].([]any)
		by[k][host] = append(list, v)
	}
	for _, p := range g.Allow {
		k := "allow"
		if p.Wildcard() {
			k = "below"
		}
		add(k, p.Host().String(), int(p.Port()))
	}
	for _, a := range g.TCP {
		add("tcp", a.Host().String(), int(a.Port()))
	}
	for _, b := range g.Bind {
		k := "web"
		if b.TargetScheme == "" {
			k = "raw"
		}
		add(k, b.Host.String(), int(b.Port))
	}
	for _, c := range creds {
		add("credentials", c.Host.String(), map[string]any{"name": c.Name, "port": int(c.Port)})
	}
	out := map[string]any{"mode": string(mode)}
	for k, m := range by {
		out[k] = m
	}
	return out
}

// A CredentialGrant says on which destination inside a credential applies.
type CredentialGrant struct {
	Name string
	Host dest.Host
	Port uint16
}
