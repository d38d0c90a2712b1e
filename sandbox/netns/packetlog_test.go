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
