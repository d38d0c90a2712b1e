package dest

import "net/netip"

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380
	siit       = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291, 2.5.5.1
)

// carried returns the IPv4 addresses that an IPv6 address can be read to carry:
// none, one, or, where the place is not known, one for each place at which there
// is something. A mapped address is unmapped before, and carries none.
func carried(ip netip.Addr) []netip.Addr {
	if !ip.Is6() {
		return nil
	}
	b := ip.As16()
	at := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	switch {
	case ip == netip.IPv6Loopback(), ip == netip.IPv6Unspecified():
		return nil
	case nat64.Contains(ip), siit.Contains(ip), compatible.Contains(ip):
		return []netip.Addr{at(12, 13, 14, 15)}
	case nat64Local.Contains(ip):
		// RFC 6052, 2.2: prefixes of 48, 56, 64 and 96 bits; the ninth byte is skipped.
		var out []netip.Addr
		for _, in := range []netip.Addr{at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12), at(12, 13, 14, 15)} {
			if in.As4()[0] != 0 { // 0.0.0.0/8 is no destination: these bytes are padding
				out = append(out, in)
			}
		}
		return out
	case sixToFour.Contains(ip):
		return []netip.Addr{at(2, 3, 4, 5)}
	case teredo.Contains(ip): // RFC 4380, 4: the client's address is inverted
		return []netip.Addr{netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	case b[8]&^3 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP: RFC 5214, 6.1
		return []netip.Addr{at(12, 13, 14, 15)}
	}
	return nil
}
