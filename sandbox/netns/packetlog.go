package netns

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A Packet is one that was refused at the wall.
type Packet struct {
	Transport    string // udp, icmp, icmpv6, sctp, or protocol-N
	Source, Dest netip.AddrPort
	Type         int // of ICMP
	Time         time.Time
}

// A PacketLog tells of refused packets, by the kernel's NFLOG. It is for one
// reader.
type PacketLog struct {
	f   *os.File
	buf []byte
	got []Packet
}

// Close ends Read.
func (l *PacketLog) Close() error { return l.f.Close() }

// Read returns the next packet. When more come than it can keep the kernel drops
// some: what they wanted is refused all the same.
func (l *PacketLog) Read() (Packet, error) {
	if l.buf == nil {
		l.buf = make([]byte, 64<<10)
	}
	for len(l.got) == 0 {
		n, err := l.receive()
		if errors.Is(err, unix.ENOBUFS) {
			continue
		}
		if err != nil {
			return Packet{}, err
		}
		l.got = parseLog(l.buf[:n])
	}
	p := l.got[0]
	l.got = l.got[1:]
	return p, nil
}

// receive waits in the poller, whatever the flags of the socket: others who have
// copies may change them, and a read that waits in the kernel ends with nothing.
func (l *PacketLog) receive() (n int, err error) {
	c, err := l.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	if cerr := c.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), l.buf, unix.MSG_DONTWAIT)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	}); cerr != nil {
		return 0, cerr
	}
	return n, err
}

// Numbers of linux/netfilter/nfnetlink_log.h.
const (
	ulogPacket    = unix.NFNL_SUBSYS_ULOG << 8
	ulogConfig    = unix.NFNL_SUBSYS_ULOG<<8 | 1
	cfgCmd        = 1
	cfgMode       = 2
	cfgQThreshold = 5
	cmdBind       = 1
	copyPacket    = 2
	attrPayload   = 9
)

// openLog makes a netlink socket that is bound to the log's group.
func openLog() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
	for seq, attr := range [][]byte{
		attribute(cfgCmd, []byte{cmdBind}),
		attribute(cfgMode, []byte{0, 0, 0, 128, copyPacket, 0}),
		attribute(cfgQThreshold, []byte{0, 0, 0, 1}),
	} {
		if err := configure(fd, uint32(seq+1), attr); err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

func attribute(typ uint16, data []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func configure(fd int, seq uint32, attr []byte) error {
	b := binary.NativeEndian.AppendUint32(nil, uint32(16+4+len(attr)))
	b = binary.NativeEndian.AppendUint16(b, ulogConfig)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, unix.AF_UNSPEC, 0)
	b = binary.BigEndian.AppendUint16(b, logGroup)
	b = append(b, attr...)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	in := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, in, 0)
	if err != nil {
		return err
	}
	if n < 20 || binary.NativeEndian.Uint16(in[4:]) != unix.NLMSG_ERROR {
		return errors.New("the kernel's answer is not one")
	}
	if e := int32(binary.NativeEndian.Uint32(in[16:])); e != 0 {
		return unix.Errno(-e)
	}
	return nil
}

// parseLog reads the packets out of netlink messages.
func parseLog(b []byte) (out []Packet) {
	now := time.Now()
	for len(b) >= 16 {
		size := int(binary.NativeEndian.Uint32(b))
		if size < 20 || size > len(b) {
			return out
		}
		if binary.NativeEndian.Uint16(b[4:]) == ulogPacket {
			for attrs := b[20:size]; len(attrs) >= 4; {
				n, typ := int(binary.NativeEndian.Uint16(attrs)), binary.NativeEndian.Uint16(attrs[2:])&0x3fff
				if n < 4 || n > len(attrs) {
					break
				}
				if typ == attrPayload {
					if p, ok := parsePacket(attrs[4:n]); ok {
						p.Time = now
						out = append(out, p)
					}
				}
				attrs = attrs[min(align(n), len(attrs)):]
			}
		}
		b = b[min(align(size), len(b)):]
	}
	return out
}

func align(n int) int { return (n + 3) &^ 3 }

// behind steps over the extension headers of IPv6 (RFC 8200, 4) as far as they are
// there, to what they stand before.
func behind(proto byte, b []byte) (byte, []byte) {
	for range 8 {
		n := 8
		switch proto {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
			if len(b) < 2 {
				return proto, nil
			}
			n += int(b[1]) * 8
		case unix.IPPROTO_FRAGMENT:
			if len(b) < 4 || b[2] != 0 || b[3]&^7 != 0 { // what is behind a later one is no header
				return proto, nil
			}
		default:
			return proto, b
		}
		if len(b) < n {
			return proto, nil
		}
		proto, b = b[0], b[n:]
	}
	return proto, nil
}

// parsePacket reads the addresses, ports and type of an IP packet that may be cut.
func parsePacket(b []byte) (Packet, bool) {
	var src, dst netip.Addr
	var proto byte
	if len(b) < 1 {
		return Packet{}, false
	}
	switch b[0] >> 4 {
	case 4:
		ihl := int(b[0]&15) * 4
		if len(b) < 20 || ihl < 20 {
			return Packet{}, false
		}
		src, dst, proto = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9]
		b = b[min(ihl, len(b)):]
	case 6:
		if len(b) < 40 {
			return Packet{}, false
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		proto, b = behind(b[6], b[40:])
	default:
		return Packet{}, false
	}
	p := Packet{Source: netip.AddrPortFrom(src, 0), Dest: netip.AddrPortFrom(dst, 0)}
	switch proto {
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		p.Transport = "icmp"
		if proto == unix.IPPROTO_ICMPV6 {
			p.Transport = "icmpv6"
		}
		if len(b) > 0 {
			p.Type = int(b[0])
		}
		return p, true
	case unix.IPPROTO_UDP:
		p.Transport = "udp"
	case unix.IPPROTO_UDPLITE:
		p.Transport = "udplite"
	case unix.IPPROTO_SCTP:
		p.Transport = "sctp"
	case unix.IPPROTO_DCCP:
		p.Transport = "dccp"
	default:
		p.Transport = "protocol-" + strconv.Itoa(int(proto))
		return p, true
	}
	if len(b) >= 4 {
		p.Source = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
		p.Dest = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	}
	return p, true
}
