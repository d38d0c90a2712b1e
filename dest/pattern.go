package dest

import (
	"strconv"
	"strings"
)

// A Pattern is what an operator allows: one host, or all names below one, on one
// port or on any. The zero Pattern matches nothing.
type Pattern struct {
	host     Host
	wildcard bool
	port     uint16
}

// ParsePattern reads example.com, *.example.com, an address, each with an
// optional :port.
func ParsePattern(s string) (Pattern, error) {
	var p Pattern
	rest, ok := strings.CutPrefix(s, "*.")
	p.wildcard = ok
	if strings.Contains(rest, "*") {
		return Pattern{}, invalid("host_invalid", "a * stands only at the beginning, before a dot")
	}
	if strings.Count(rest, ":") > 1 && !strings.HasPrefix(rest, "[") {
		rest = "[" + rest + "]"
	}
	h, port, hasPort, err := split(rest)
	if err != nil {
		return Pattern{}, err
	}
	if hasPort {
		a, err := join(h, port)
		if err != nil {
			return Pattern{}, err
		}
		p.host, p.port = a.host, a.port
	} else if p.host, err = parseBracketed(h); err != nil {
		return Pattern{}, err
	}
	if _, ip := p.host.Addr(); ip && p.wildcard {
		return Pattern{}, invalid("host_invalid", "an address has nothing below it")
	}
	return p, nil
}

// Host returns the host, without the wildcard.
func (p Pattern) Host() Host { return p.host }

// Wildcard reports whether the names below the host are meant, and not the host.
func (p Pattern) Wildcard() bool { return p.wildcard }

// Port returns the port; 0 means any.
func (p Pattern) Port() uint16 { return p.port }

// Match reports whether a destination is meant. A wildcard reaches any depth.
func (p Pattern) Match(a Addr) bool {
	if p.host.IsZero() || p.port != 0 && p.port != a.port {
		return false
	}
	if p.wildcard {
		return a.host.below(p.host)
	}
	return a.host == p.host
}

// String returns what ParsePattern reads.
func (p Pattern) String() string {
	s := Addr{host: p.host}.bracketed()
	if p.wildcard {
		s = "*." + s
	}
	if p.port != 0 {
		s += ":" + strconv.Itoa(int(p.port))
	}
	return s
}
