package dest

import (
	"net/netip"
	"strconv"
	"strings"
)

// An Addr is a host and a port. Values compare with ==; the zero Addr is none.
type Addr struct {
	host Host
	port uint16
}

// NewAddr puts a host and a port together.
func NewAddr(h Host, port uint16) Addr { return Addr{h, port} }

// Host returns the host.
func (a Addr) Host() Host { return a.host }

// Port returns the port, 1 to 65535; 0 for the zero Addr.
func (a Addr) Port() uint16 { return a.port }

// ParseAddr reads host:port, as a CONNECT request has it: the port must be there.
func ParseAddr(s string) (Addr, error) {
	h, p, ok, err := split(s)
	if err != nil {
		return Addr{}, err
	}
	if !ok {
		return Addr{}, invalid("port_invalid", "the port is missing")
	}
	return join(h, p)
}

// ParseAuthority reads host[:port], as Host and :authority have it (RFC 9110,
// 4.2.3 and 7.2): no user, no percent-encoding, and no colon without a port.
func ParseAuthority(s string, defaultPort uint16) (Addr, error) {
	h, p, ok, err := split(s)
	if err != nil {
		return Addr{}, err
	}
	if ok {
		return join(h, p)
	}
	host, err := parseBracketed(h)
	if err != nil {
		return Addr{}, err
	}
	return Addr{host, defaultPort}, nil
}

// split takes an authority apart; the host keeps its brackets.
func split(s string) (host, port string, hasPort bool, err error) {
	if s == "" {
		return "", "", false, invalid("authority_invalid", "the authority is empty")
	}
	if strings.ContainsAny(s, "@%/\\?# \t") {
		return "", "", false, invalid("authority_invalid", "the authority has a character that has no place in one")
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || i < strings.LastIndexByte(s, ']') {
		return s, "", false, nil
	}
	return s[:i], s[i+1:], true, nil
}

func join(h, p string) (Addr, error) {
	host, err := parseBracketed(h)
	if err != nil {
		return Addr{}, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != p {
		return Addr{}, invalid("port_invalid", "the port is not a number from 1 to 65535")
	}
	return Addr{host, uint16(n)}, nil
}

// parseBracketed reads a host as an authority has it: IPv6 in brackets, nothing
// else in them.
func parseBracketed(s string) (Host, error) {
	in, ok := strings.CutPrefix(s, "[")
	if !ok {
		if strings.ContainsAny(s, ":[]") {
			return Host{}, invalid("host_invalid", "an IPv6 address stands in brackets")
		}
		return ParseHost(s)
	}
	in, ok = strings.CutSuffix(in, "]")
	a, err := netip.ParseAddr(in)
	if !ok || err != nil || !a.Is6() || a.Zone() != "" {
		return Host{}, invalid("host_invalid", "only an IPv6 address without a zone stands in brackets")
	}
	return HostFromAddr(a), nil
}

// String returns host:port, with brackets around IPv6.
func (a Addr) String() string {
	if a == (Addr{}) {
		return ""
	}
	return a.bracketed() + ":" + strconv.Itoa(int(a.port))
}

func (a Addr) bracketed() string {
	if a.host.ip.Is6() {
		return "[" + a.host.String() + "]"
	}
	return a.host.String()
}

// Authority returns what Host says: without the port where it is the scheme's own.
func (a Addr) Authority(scheme string) string {
	if scheme == "http" && a.port == 80 || scheme == "https" && a.port == 443 {
		return a.bracketed()
	}
	return a.String()
}
