package netns

import (
	"encoding/binary"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// farSide is the namespace of sockets.
func farSide(t *testing.T, s *Sockets) *os.File {
	t.Helper()
	rc, err := s.DNS[0].SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ns := -1
	if cerr := rc.Control(func(fd uintptr) { ns, err = unix.IoctlRetInt(int(fd), unix.SIOCGSKNS) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	f := os.NewFile(uintptr(ns), "router")
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// icmp6 is a packet of neighbour discovery.
func icmp6(src, dst net.IP, typ byte, body []byte) []byte {
	msg := append([]byte{typ, 0, 0, 0}, body...)
	pseudo := slices.Concat(src, dst, binary.BigEndian.AppendUint32(nil, uint32(len(msg))), []byte{0, 0, 0, unix.IPPROTO_ICMPV6}, msg)
	if len(pseudo)%2 == 1 {
		pseudo = append(pseudo, 0)
	}
	sum := uint32(0)
	for i := 0; i < len(pseudo); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(pseudo[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(msg[2:], ^uint16(sum))
	head := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(msg)))
	return slices.Concat(append(head, unix.IPPROTO_ICMPV6, 255), src, dst, msg)
}

// hostile 267: a guest says that it is a router, and thousands of neighbours. Tables
// of neighbours are one for the machine, and routes cost memory.
func TestGuestsFillNoTables(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a link into what somebody else made")
	}
	guest := newNamespace(t)
	s, err := Gateway(guest, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	router := farSide(t, s)
	const many = 300
	inNamespace(t, guest, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		mac := []byte(l.Attrs().HardwareAddr)
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		send := func(ether uint16, b []byte) error {
			frame := slices.Concat([]byte{255, 255, 255, 255, 255, 255}, mac, binary.BigEndian.AppendUint16(nil, ether), b)
			if ether == unix.ETH_P_IPV6 { // to all on the link
				copy(frame, []byte{0x33, 0x33})
				copy(frame[2:6], b[36:40])
			}
			return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index, Halen: 6})
		}
		self := net.ParseIP("fe80::2")
		for i := range many {
			prefix := append(net.ParseIP("2001:db8::")[:4:4], binary.BigEndian.AppendUint32(nil, uint32(i))...)
			info := slices.Concat([]byte{3, 4, 64, 0x80}, []byte{255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0}, prefix, make([]byte, 8))
			advert := slices.Concat([]byte{64, 0, 7, 8}, make([]byte, 8), info)
			from := net.ParseIP("fe80::1:0")
			binary.BigEndian.PutUint16(from[14:], uint16(i+1))
			asks := slices.Concat(make([]byte, 4), []byte(router6.IP), []byte{1, 1}, mac)
			arp := slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, 1}, mac, []byte{10, 0, byte(i >> 8), byte(i)}, make([]byte, 6), []byte(router4.IP.To4()))
			for _, p := range []struct {
				ether uint16
				b     []byte
			}{{unix.ETH_P_IPV6, icmp6(self, net.ParseIP("ff02::1"), 134, advert)}, {unix.ETH_P_IPV6, icmp6(from, net.ParseIP("ff02::1:ff00:1"), 135, asks)}, {unix.ETH_P_ARP, arp}} {
				if err := send(p.ether, p.b); err != nil {
					return err
				}
			}
		}
		return nil
	})
	time.Sleep(200 * time.Millisecond)
	inNamespace(t, router, func() error {
		routes, err := netlink.RouteList(nil, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		if len(routes) > 8 {
			t.Errorf("the router has %d routes", len(routes))
		}
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			ns, err := netlink.NeighList(0, family)
			if err != nil {
				return err
			}
			if len(ns) > 16 {
				t.Errorf("the router has %d neighbours", len(ns))
			}
		}
		return nil
	})
	// The two find each other all the same, from both addresses of the guest.
	inNamespace(t, guest, func() error {
		c, err := net.Dial("udp", net.JoinHostPort(router6.IP.String(), "53"))
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("question")); err != nil {
			return err
		}
		_ = s.DNS[1].SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 100)
		n, from, err := s.DNS[1].ReadFrom(b)
		if err != nil || string(b[:n]) != "question" {
			return err
		}
		if _, err := s.DNS[1].WriteTo([]byte("answer"), from); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err = c.Read(b)
		return err
	})
}
