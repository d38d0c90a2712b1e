package terms

import (
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

// parseBinding reads NAME=URL, or NAME:PORT=HOST:PORT for raw TCP.
func parseBinding(s string) (sandbox.Binding, error) {
	fail := func(err error) (sandbox.Binding, error) {
		return sandbox.Binding{}, fmt.Errorf("%w; expected NAME=http(s)://HOST[:PORT][/PREFIX], or NAME:PORT=HOST:PORT for raw TCP", err)
	}
	name, target, ok := strings.Cut(s, "=")
	if !ok {
		return fail(fmt.Errorf("there is no ="))
	}
	var b sandbox.Binding
	h, port, hasPort := strings.Cut(name, ":")
	host, err := dest.ParseHost(h)
	if err != nil {
		return fail(err)
	}
	if _, ip := host.Addr(); ip {
		return fail(fmt.Errorf("a binding has a name, not an address"))
	}
	b.Host = host
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fail(fmt.Errorf("port %q is not a number from 1 to 65535", port))
		}
		b.Port = uint16(n)
	}
	if !strings.Contains(target, "://") {
		if b.Target, err = dest.ParseAddr(target); err != nil {
			return fail(err)
		}
		if b.Port == 0 {
			b.Port = b.Target.Port()
		}
		return b, nil
	}
	u, err := url.Parse(target)
	if err != nil {
		return fail(err)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fail(fmt.Errorf("a target has no user, query or fragment"))
	}
	def := uint16(0)
	switch u.Scheme {
	case "http":
		def = 80
	case "https":
		def = 443
	default:
		return fail(fmt.Errorf("scheme %q", u.Scheme))
	}
	b.TargetScheme = u.Scheme
	if b.Target, err = dest.ParseAuthority(u.Host, def); err != nil {
		return fail(err)
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
		return p, fmt.Errorf("--allow-private %q: expected a prefix such as 10.1.0.0/16", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("--allow-private %q: the address has bits beyond its prefix; did you mean %s?", s, p.Masked())
	}
	return p, nil
}

// ParseResolve reads HOST=ADDR.
func ParseResolve(s string) (dest.Host, netip.Addr, error) {
	h, a, ok := strings.Cut(s, "=")
	host, err := dest.ParseHost(h)
	addr, aerr := netip.ParseAddr(a)
	if !ok || err != nil || aerr != nil || addr.Zone() != "" {
		return dest.Host{}, netip.Addr{}, fmt.Errorf("--resolve %q: expected HOST=ADDRESS, such as api.example.com=192.0.2.7", s)
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
