package dest

import (
	"net/netip"
	"testing"
)

func TestJudge(t *testing.T) {
	lan := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		ip     string
		class  Class
		ok     bool
		remark string
	}{
		{"93.184.216.34", "public", true, ""},
		{"2606:2800:220:1::1", "public", true, ""},
		{"127.0.0.1", "loopback", false, "hostile 1"},
		{"192.168.1.1", "private", false, "hostile 1"},
		{"10.1.2.3", "private", true, "opened by a prefix"},
		{"::ffff:127.0.0.1", "loopback", false, "hostile 3"},
		{"::7f00:1", "embedded_ipv4", false, "hostile 4: IPv4-compatible"},
		{"::ffff:0:7f00:1", "embedded_ipv4", false, "hostile 4: SIIT"},
		{"64:ff9b::7f00:1", "loopback", false, "hostile 5: NAT64 of a loopback address"},
		{"64:ff9b::5db8:d822", "public", true, "hostile 5: NAT64 of a public address"},
		{"64:ff9b::a9fe:a9fe", "metadata", false, "hostile 5, 11"},
		{"64:ff9b::a01:203", "private", true, "hostile 5: opened by a prefix, as without NAT64"},
		{"64:ff9b:1::7f00:1", "nat64_local", false, "hostile 5"},
		{"64:ff9b:1::5db8:d822", "nat64_local", false, "hostile 5: not open by itself, the place of the address is not known"},
		{"2002:7f00:1::1", "6to4", false, "hostile 6"},
		{"2002:a9fe:a9fe::1", "metadata", false, "hostile 6, 11"},
		{"2002:5db8:d822::1", "6to4", false, "hostile 6"},
		{"2001:0:53aa:64c:0:7a85:80ff:fffe", "teredo", false, "hostile 6"},
		{"::1%lo", "loopback", true, "hostile 7: the zone hides nothing, and the prefix still opens it"},
		{"fe80::1%eth0", "link_local", false, "hostile 7"},
		{"0.0.0.0", "unspecified", false, "hostile 8"},
		{"0.1.2.3", "unspecified", false, "hostile 8"},
		{"::", "unspecified", false, "hostile 8"},
		{"100.64.0.1", "cgnat", false, "hostile 9"},
		{"192.0.0.8", "reserved", false, "hostile 9"},
		{"192.0.0.9", "public", true, "an anycast address in a reserved block"},
		{"198.18.0.1", "benchmark", false, "hostile 9"},
		{"240.0.0.1", "reserved", false, "hostile 9"},
		{"255.255.255.255", "broadcast", false, "hostile 9"},
		{"fec0::1", "reserved", false, "hostile 9"},
		{"100::1", "reserved", false, "hostile 9"},
		{"2001:db8::1", "documentation", false, "hostile 9"},
		{"3fff::1", "documentation", false, "hostile 9"},
		{"5f00::1", "reserved", false, "hostile 9"},
		{"fd12::1", "unique_local", false, "hostile 9"},
		{"4000::1", "unallocated", false, "hostile 9"},
		{"224.0.0.251", "multicast", false, "hostile 10"},
		{"239.255.255.250", "multicast", false, "hostile 10"},
		{"ff02::1", "multicast", false, "hostile 10"},
		{"169.254.1.1", "link_local", true, "opened by a prefix"},
		{"169.254.169.254", "metadata", false, "hostile 11: no prefix opens it"},
		{"169.254.170.2", "metadata", false, "hostile 11"},
		{"169.254.170.23", "metadata", false, "hostile 11"},
		{"fd00:ec2::254", "metadata", false, "hostile 11"},
		{"fd00:ec2::23", "metadata", false, "hostile 11"},
		{"100.100.100.200", "metadata", false, "hostile 11"},
		{"fe80::a9fe:a9fe", "metadata", false, "hostile 11: OpenStack on IPv6"},
		{"::ffff:169.254.169.254", "metadata", false, "hostile 3, 11"},
		{"fd00:ec2::254%eth0", "metadata", false, "hostile 7, 11"},
		{"168.63.129.16", "metadata", false, "hostile 11"},
		{"192.0.0.192", "metadata", false, "hostile 11"},
		{"2606:2800::5efe:7f00:1", "embedded_ipv4", false, "ISATAP"},
	} {
		v := Judge(netip.MustParseAddr(c.ip), lan)
		if v.Class != c.class || v.OK != c.ok {
			t.Errorf("Judge(%s) = %s %v, want %s %v (%s)", c.ip, v.Class, v.OK, c.class, c.ok, c.remark)
		}
	}
	if v := Judge(netip.Addr{}, lan); v.OK {
		t.Error("hostile 14: no address was judged as good")
	}
}

// hostile 5, 6, 11: what an operator opens is not more than what was meant.
func TestOpenedPrefixes(t *testing.T) {
	for _, c := range []struct {
		open, ip string
		ok       bool
		remark   string
	}{
		{"64:ff9b::/96", "64:ff9b::7f00:1", false, "behind the translator only the IPv4 address counts"},
		{"64:ff9b::/96", "64:ff9b::a00:1", false, "likewise"},
		{"10.0.0.0/8", "64:ff9b::a00:1", true, "likewise"},
		{"64:ff9b:1::/48", "64:ff9b:1::a00:1", true, "a translator to private networks: RFC 8215"},
		{"64:ff9b:1::/48", "64:ff9b:1::a9fe:a9fe", false, "metadata behind a prefix of 96 bits"},
		{"64:ff9b:1::/48", "64:ff9b:1:7:0:0:a9fe:a9fe", false, "likewise, with a subnet"},
		{"64:ff9b:1::/48", "64:ff9b:1:0:a9:fea9:fe00:0", false, "of 64 bits"},
		{"64:ff9b:1::/48", "64:ff9b:1:a9:fe:a9fe::", false, "of 56 bits"},
		{"64:ff9b:1::/48", "64:ff9b:1:a9fe:a9:fe00::", false, "of 48 bits"},
		{"2002::/16", "2002:7f00:1::1", false, "6to4 of a loopback address"},
		{"2002::/16", "2002:5db8:d822::1", true, "6to4 of a public address"},
		{"::/0", "2001:0:53aa:64c:0:7a85:80ff:fffe", false, "Teredo of a loopback address"},
		{"::/0", "::7f00:1", false, "IPv4-compatible"},
		{"::/0", "::ffff:0:7f00:1", false, "SIIT"},
		{"fc00::/7", "fd00::5efe:a00:1", false, "ISATAP of a private address"},
		{"fe80::/10", "fe80::a9fe:a9fe", false, "metadata"},
		{"::ffff:10.0.0.0/104", "10.0.0.1", false, "a mapped prefix opens nothing"},
		{"10.0.0.0/8", "::ffff:10.0.0.1", true, "a mapped address is the address"},
		{"10.0.0.0/8", "11.0.0.0", true, "public anyway"},
		{"10.0.0.0/8", "172.16.0.1", false, "another block"},
	} {
		v := Judge(netip.MustParseAddr(c.ip), []netip.Prefix{{}, netip.MustParsePrefix(c.open)})
		if v.OK != c.ok {
			t.Errorf("with %s open, Judge(%s) = %+v, want %v (%s)", c.open, c.ip, v, c.ok, c.remark)
		}
	}
}

// hostile 11: no prefix opens a metadata address, in no form.
func TestMetadataStaysShut(t *testing.T) {
	all := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	for _, p := range metadata {
		forms := []netip.Addr{p.Addr()}
		if p.Addr().Is4() {
			forms = append(forms, everyForm(p.Addr())...)
		}
		for _, ip := range forms {
			if v := Judge(ip, all); v.OK || v.Class != Metadata {
				t.Errorf("%s of %s: %+v", ip, p, v)
			}
		}
	}
}

// everyForm writes an IPv4 address into IPv6 in every way that there is.
func everyForm(ip netip.Addr) []netip.Addr {
	a := ip.As4()
	put := func(prefix string, at ...int) netip.Addr {
		b := netip.MustParseAddr(prefix).As16()
		for i, j := range at {
			b[j] = a[i]
		}
		return netip.AddrFrom16(b)
	}
	inverted := put("2001::", 12, 13, 14, 15).As16()
	for i := 12; i < 16; i++ {
		inverted[i] ^= 0xff
	}
	return []netip.Addr{
		put("::ffff:0:0", 12, 13, 14, 15), put("::", 12, 13, 14, 15), put("::ffff:0:0:0", 12, 13, 14, 15), put("64:ff9b::", 12, 13, 14, 15),
		put("64:ff9b:1::", 12, 13, 14, 15), put("64:ff9b:1::", 9, 10, 11, 12), put("64:ff9b:1::", 7, 9, 10, 11), put("64:ff9b:1::", 6, 7, 9, 10),
		put("2002::", 2, 3, 4, 5), netip.AddrFrom16(inverted), put("2606::5efe:0:0", 12, 13, 14, 15), put("fe80::200:5efe:0:0", 12, 13, 14, 15),
	}
}

// hostile 9: no row of the registries that is not global is public, whatever its
// first and last address, and every row decides where no row inside it does.
func TestRegistries(t *testing.T) {
	for name, blocks := range map[string][]block{"ipv4": blocks4, "ipv6": blocks6} {
		if len(blocks) < 25 {
			t.Fatalf("%s has %d rows", name, len(blocks))
		}
		seen := map[netip.Prefix]bool{}
		for _, b := range blocks {
			if b.prefix != b.prefix.Masked() || seen[b.prefix] || b.class == "" || b.class == Public && !b.global {
				t.Errorf("%s: row %+v", name, b)
			}
			seen[b.prefix] = true
			if v := Judge(b.prefix.Addr(), nil); v.OK && !b.global {
				t.Errorf("%s: %s is judged %+v", name, b.prefix, v)
			}
		}
	}
}

// hostile 3 to 7: no spelling of an address is more open than the address.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "10.0.0.1", "8.8.8.8", "169.254.169.254"} {
		a := netip.MustParseAddr(s).As4()
		f.Add(a[:], "10.0.0.0/8")
		for _, ip := range everyForm(netip.AddrFrom4(a)) {
			b := ip.As16()
			f.Add(b[:], "::/0")
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, open string) {
		ip, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		var allow []netip.Prefix
		if p, err := netip.ParsePrefix(open); err == nil {
			allow = append(allow, p)
		}
		v := Judge(ip, allow)
		if v.OK && v.Class == Metadata {
			t.Fatalf("%s with %s: %+v", ip, open, v)
		}
		if again := Judge(v.Addr, allow); again != v {
			t.Fatalf("%s: %+v, judged again %+v", ip, v, again)
		}
		if ip.Is6() && Judge(ip.WithZone("eth0"), allow) != v {
			t.Fatalf("%s: a zone changes the verdict", ip)
		}
		if !ip.Is4() || v.OK {
			return
		}
		for _, form := range everyForm(ip) {
			if w := Judge(form, nil); w.OK {
				t.Fatalf("%s is shut, %s is open: %+v", ip, form, w)
			}
		}
	})
}
