package netns

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// logged is a message of the kernel about a packet.
func logged(packet []byte) []byte {
	attr := attribute(attrPayload, packet)
	b := binary.NativeEndian.AppendUint32(nil, uint32(20+len(attr)))
	b = binary.NativeEndian.AppendUint16(b, ulogPacket)
	b = append(b, make([]byte, 14)...)
	return append(b, attr...)
}

func ip4(proto byte, dst string, payload ...byte) []byte {
	b := make([]byte, 20)
	b[0], b[9] = 0x45, proto
	copy(b[12:], netip.MustParseAddr("10.0.0.1").AsSlice())
	copy(b[16:], netip.MustParseAddr(dst).AsSlice())
	return append(b, payload...)
}

func ip6(proto byte, dst string, payload ...byte) []byte {
	b := make([]byte, 40)
	b[0], b[6] = 0x60, proto
	copy(b[24:], netip.MustParseAddr(dst).AsSlice())
	return append(b, payload...)
}

func TestParseLog(t *testing.T) {
	msg := append(logged(ip4(unix.IPPROTO_UDP, "192.0.2.1", 0, 9, 1, 187)), logged(ip6(unix.IPPROTO_ICMPV6, "2001:db8::5", 128))...)
	msg = append(msg, logged(ip4(47, "192.0.2.3"))...)
	got := parseLog(msg)
	want := []Packet{{Transport: "udp", Dest: netip.MustParseAddrPort("192.0.2.1:443")}, {Transport: "icmpv6", Dest: netip.MustParseAddrPort("[2001:db8::5]:0"), Type: 128},
		{Transport: "protocol-47", Dest: netip.MustParseAddrPort("192.0.2.3:0")}}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i].Transport != want[i].Transport || got[i].Dest != want[i].Dest || got[i].Type != want[i].Type || got[i].Time.IsZero() {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
	for what, c := range map[string]struct {
		packet    []byte
		transport string
		dest      string
		kind      int
	}{
		"udp over IPv6":        {ip6(unix.IPPROTO_UDP, "2001:db8::5", 0, 9, 0, 53), "udp", "[2001:db8::5]:53", 0},
		"udplite":              {ip4(unix.IPPROTO_UDPLITE, "192.0.2.1", 0, 9, 0, 7), "udplite", "192.0.2.1:7", 0},
		"sctp over IPv6":       {ip6(unix.IPPROTO_SCTP, "2001:db8::5", 0, 9, 0x96, 0x0c), "sctp", "[2001:db8::5]:38412", 0},
		"dccp":                 {ip4(unix.IPPROTO_DCCP, "192.0.2.1", 0, 9, 0, 7), "dccp", "192.0.2.1:7", 0},
		"icmp":                 {ip4(unix.IPPROTO_ICMP, "192.0.2.1", 8, 0), "icmp", "192.0.2.1:0", 8},
		"options of IPv4":      {append([]byte{0x46}, ip4(unix.IPPROTO_UDP, "192.0.2.1", 1, 1, 1, 1, 0, 9, 0, 7)[1:]...), "udp", "192.0.2.1:7", 0},
		"options of IPv6":      {ip6(unix.IPPROTO_HOPOPTS, "2001:db8::5", unix.IPPROTO_DSTOPTS, 0, 1, 4, 0, 0, 0, 0, unix.IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0, 0, 9, 0, 7), "udp", "[2001:db8::5]:7", 0},
		"a first fragment":     {ip6(unix.IPPROTO_FRAGMENT, "2001:db8::5", unix.IPPROTO_ICMPV6, 0, 0, 1, 0, 0, 0, 0, 128), "icmpv6", "[2001:db8::5]:0", 128},
		"a later fragment":     {ip6(unix.IPPROTO_FRAGMENT, "2001:db8::5", unix.IPPROTO_UDP, 0, 0, 8, 0, 0, 0, 0, 0, 9, 0, 7), "protocol-44", "[2001:db8::5]:0", 0},
		"options without end":  {ip6(unix.IPPROTO_HOPOPTS, "2001:db8::5", unix.IPPROTO_UDP, 200, 1, 4), "protocol-0", "[2001:db8::5]:0", 0},
		"options in rounds":    {ip6(unix.IPPROTO_HOPOPTS, "2001:db8::5", make([]byte, 80)...), "protocol-0", "[2001:db8::5]:0", 0},
		"one of no name, IPv6": {ip6(200, "2001:db8::5"), "protocol-200", "[2001:db8::5]:0", 0},
	} {
		if p := parseLog(logged(c.packet)); len(p) != 1 || p[0].Transport != c.transport || p[0].Dest.String() != c.dest || p[0].Type != c.kind {
			t.Errorf("%s: %+v", what, p)
		}
	}
	if p := parseLog(logged(ip4(unix.IPPROTO_UDP, "192.0.2.1", 1, 2))); len(p) != 1 || p[0].Dest.Port() != 0 {
		t.Errorf("a cut packet: %+v", p)
	}
}

// What a sandbox sends comes through here: nothing of it may end the proxy.
func FuzzParseLog(f *testing.F) {
	f.Add(logged(ip4(unix.IPPROTO_UDP, "192.0.2.1", 0, 9, 1, 187)))
	f.Add(logged(ip6(unix.IPPROTO_SCTP, "2001:db8::5", 1)))
	f.Add(append(logged(nil), 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range parseLog(b) {
			if p.Transport == "" || !p.Dest.Addr().IsValid() {
				t.Fatalf("%+v", p)
			}
		}
	})
}
