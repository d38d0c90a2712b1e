package dest

import (
	"net/netip"
	"slices"
)

// A Class says what kind of address it is; only Public ones are reached without
// somebody saying so.
type Class string

// Public is the class of ordinary addresses of the Internet, Metadata that of a
// cloud's metadata services, Embedded that of an IPv6 address that only carries
// an IPv4 one. Unallocated is IPv6 that nobody was given; Invalid is no address.
// Own is what this machine itself is called, which Judge does not know.
// The other classes are those of the registries under iana/.
const (
	Public      Class = "public"
	Metadata    Class = "metadata"
	Embedded    Class = "embedded_ipv4"
	Unallocated Class = "unallocated"
	Invalid     Class = "invalid"
	Own         Class = "own"
)

// A Verdict is what is said of an address. The zero Verdict refuses.
type Verdict struct {
	Addr     netip.Addr // without zone and mapping
	Class    Class
	OK       bool
	Embedded netip.Addr // the IPv4 address that Addr carries, judged with it
}

// Judge says whether an address may be reached. allowPrivate opens prefixes that
// are not public, without the IPv4 mapping; a metadata address stays shut
// whatever it holds. An IPv6 address that carries an IPv4 one is as shut as what
// it carries: behind a translator (64:ff9b::/96, RFC 6052) only the IPv4 address
// counts, elsewhere both have to be open. Under 64:ff9b:1::/48 (RFC 8215) the
// place of the IPv4 address is the network's own affair, so opening the prefix
// opens all of it but metadata, read at every place.
func Judge(ip netip.Addr, allowPrivate []netip.Prefix) Verdict {
	if !ip.IsValid() {
		return Verdict{Class: Invalid}
	}
	ip = ip.Unmap().WithZone("") // a zone would make every prefix miss
	v := Verdict{Addr: ip, Class: classify(ip)}
	inside := carried(ip)
	if len(inside) > 0 {
		v.Embedded = inside[0]
	}
	for _, in := range inside {
		if classify(in) == Metadata {
			v.Class, v.Embedded = Metadata, in
		}
	}
	if v.Class == Metadata {
		return v
	}
	opened := slices.ContainsFunc(allowPrivate, func(p netip.Prefix) bool { return p.Contains(ip) })
	switch {
	case len(inside) == 0, nat64Local.Contains(ip):
		v.OK = v.Class == Public || opened
	case nat64.Contains(ip):
		in := Judge(v.Embedded, allowPrivate)
		v.Class, v.OK = in.Class, in.OK
	default:
		if v.Class == Public || v.Class == Unallocated {
			v.Class = Embedded
		}
		v.OK = opened && Judge(v.Embedded, allowPrivate).OK
	}
	return v
}

// metadata holds the addresses at which a cloud tells a machine about itself,
// credentials included, to whoever asks from there.
var metadata = prefixes(
	"169.254.169.254/32",                       // AWS, Azure, Google Cloud, Oracle, OpenStack and others
	"169.254.169.253/32", "169.254.169.123/32", // AWS: the resolver and the clock beside it
	"169.254.170.2/32", "169.254.170.23/32", // AWS: containers' and pods' credentials
	"fd00:ec2::/32",                       // AWS: all of these on IPv6
	"fd20:ce::254/128",                    // Google Cloud on IPv6
	"fe80::a9fe:a9fe/128",                 // OpenStack on IPv6
	"169.254.42.42/32", "fd00:42::42/128", // Scaleway
	"169.254.0.23/32",    // Tencent Cloud
	"100.100.100.200/32", // Alibaba Cloud
	"168.63.129.16/32",   // Azure: the host's agent
	"192.0.0.192/32",     // Oracle Cloud, classic
)

func prefixes(in ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(in))
	for i, s := range in {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func classify(ip netip.Addr) Class {
	for _, p := range metadata {
		if p.Contains(ip) {
			return Metadata
		}
	}
	blocks := blocks4
	if ip.Is6() {
		blocks = blocks6
	}
	for _, b := range blocks {
		if b.prefix.Contains(ip) {
			return b.class
		}
	}
	if ip.Is6() && !global6.Contains(ip) {
		return Unallocated
	}
	return Public
}
