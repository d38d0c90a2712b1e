package dest

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// A Host is a DNS name in lower-case A-label form without a trailing dot, or an
// IP address without zone or IPv4 mapping. One host has one spelling, so values
// compare with ==. The zero Host is none.
type Host struct {
	name string
	ip   netip.Addr
}

// ParseHost reads a name or an address; an IPv6 address has no brackets. What
// several parsers would read differently is refused: numbers that some resolvers
// take for addresses, zones, percent-encoding, and names that are not A-labels.
func ParseHost(s string) (Host, error) {
	if s == "" {
		return Host{}, invalid("host_invalid", "the host is empty")
	}
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return Host{}, invalid("host_invalid", "the host is not an address")
		}
		return HostFromAddr(a), nil
	}
	name := lowerASCII(strings.TrimSuffix(s, "."))
	if len(name) > 253 || name == "" {
		return Host{}, invalid("host_invalid", "the host name is too long or empty")
	}
	last := name
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return Host{}, err
		}
		last = label
	}
	if endsInNumber(last) {
		a, err := netip.ParseAddr(name)
		if err != nil || !a.Is4() || strings.HasSuffix(s, ".") {
			return Host{}, invalid("host_invalid", "the host looks like an address but is not one in dotted decimal form")
		}
		return HostFromAddr(a), nil
	}
	return Host{name: name}, nil
}

// lowerASCII lowers A to Z and nothing else: Unicode's mapping would make ASCII
// of the Kelvin sign and the dotted capital I, and so another name.
func lowerASCII(s string) string {
	i := 0
	for i < len(s) && (s[i] < 'A' || s[i] > 'Z') {
		i++
	}
	if i == len(s) {
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		if c := b[i]; 'A' <= c && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
	return string(b)
}

func checkLabel(l string) error {
	if l == "" || len(l) > 63 {
		return invalid("host_invalid", "a label of the host name is empty or too long")
	}
	for i := range len(l) {
		c := l[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return invalid("host_invalid", "the host name has a character that host names do not have")
		}
	}
	if l[0] == '-' || l[len(l)-1] == '-' {
		return invalid("host_invalid", "a label of the host name begins or ends with a hyphen")
	}
	if strings.HasPrefix(l, "xn--") {
		u, err := idna.Lookup.ToUnicode(l)
		if err != nil {
			return invalid("host_invalid", "a label of the host name is not a valid A-label")
		}
		// A second lock: idna has let labels through that decode to plain ASCII or
		// to what encodes differently, and so gave one name two spellings.
		a, err := idna.Lookup.ToASCII(u)
		if err != nil || a != l {
			return invalid("host_invalid", "a label of the host name is not a valid A-label")
		}
	}
	return nil
}

// endsInNumber is the check of the same name in the WHATWG URL standard: a last
// label that is digits, or 0x and hexadecimal digits.
func endsInNumber(l string) bool {
	if h, ok := strings.CutPrefix(l, "0x"); ok {
		return strings.Trim(h, "0123456789abcdef") == ""
	}
	return strings.Trim(l, "0123456789") == ""
}

// HostFromAddr makes a host of an address; mapping and zone are taken off.
func HostFromAddr(a netip.Addr) Host {
	if !a.IsValid() {
		return Host{}
	}
	return Host{ip: a.Unmap().WithZone("")}
}

// String returns the one spelling; IPv6 without brackets, "" for the zero Host.
func (h Host) String() string {
	if h.ip.IsValid() {
		return h.ip.String()
	}
	return h.name
}

// IsZero reports whether there is no host.
func (h Host) IsZero() bool { return h == Host{} }

// Addr returns the address, if the host is one.
func (h Host) Addr() (netip.Addr, bool) { return h.ip, h.ip.IsValid() }

// Suffixes returns the name and everything that it is below: api.github.com,
// github.com, com. An address has only itself.
func (h Host) Suffixes() []string {
	if h.IsZero() {
		return nil
	}
	out := []string{h.String()}
	if h.ip.IsValid() {
		return out
	}
	for rest := h.name; ; {
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return out
		}
		out = append(out, after)
		rest = after
	}
}

// RegisteredDomain returns the domain that was registered, by the public suffix
// list; "" where there is none.
func (h Host) RegisteredDomain() string {
	if h.name == "" {
		return ""
	}
	d, err := publicsuffix.EffectiveTLDPlusOne(h.name)
	if err != nil {
		return ""
	}
	return d
}

// below reports whether h is a name below parent, and not parent itself.
func (h Host) below(parent Host) bool {
	return h.name != "" && parent.name != "" && strings.HasSuffix(h.name, "."+parent.name)
}

// MetadataHost reports whether a name is that of a cloud's metadata service.
func MetadataHost(h Host) bool {
	switch h.name {
	case "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
		"metadata.azure.internal", "metadata.tencentyun.com", "metadata.packet.net", "metadata.platformequinix.com", "metadata.oraclecloud.com":
		return true
	}
	return false
}

// LocalHost reports whether a name belongs to this machine or to some private
// network by convention (RFC 6761, 6762, 8375 and common practice): its meaning
// depends on who asks.
func LocalHost(h Host) bool {
	if h.name == "" {
		return false
	}
	if !strings.Contains(h.name, ".") || h.name == "home.arpa" {
		return true
	}
	for _, s := range []string{".localhost", ".local", ".internal", ".svc", ".cluster.local", ".home.arpa", ".lan", ".intranet", ".corp", ".home"} {
		if strings.HasSuffix(h.name, s) {
			return true
		}
	}
	return false
}
