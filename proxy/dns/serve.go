package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ServePacket answers on a UDP socket until it is closed. The socket may be
// bound to the wildcard: each answer comes from the address that was asked, if
// PacketInfo was called for it.
func (s *Server) ServePacket(c *net.UDPConn) error {
	buf, oob := make([]byte, 64<<10), make([]byte, 256)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	slots := make(chan struct{}, asking)
	for {
		n, oobn, _, from, err := c.ReadMsgUDPAddrPort(buf, oob)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err == nil && n == 0 && !from.IsValid(): // somebody shut it down: it would say so again and again
			return io.EOF
		case err != nil: // an ICMP error of an earlier answer, say
			continue
		}
		out, later := s.answer(buf[:n], "udp")
		if out != nil {
			_, _, _ = c.WriteMsgUDPAddrPort(out, source(oob[:oobn]), from)
		}
		if later == nil {
			continue
		}
		at := source(oob[:oobn])
		select {
		case slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-slots }()
				if out := later(ctx); out != nil {
					_, _, _ = c.WriteMsgUDPAddrPort(out, at, from)
				}
			})
		default: // name servers are slow, and the client asks again
			s.record(Query{Rcode: "dropped", Transport: "udp"})
		}
	}
}

// PacketInfo makes a UDP socket say which of its addresses a packet was sent to.
func PacketInfo(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var e4, e6 error
	err = raw.Control(func(fd uintptr) {
		e4 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		e6 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	if err == nil && e4 != nil && e6 != nil {
		err = errors.Join(e4, e6)
	}
	return err
}

// source turns the control message of a packet into one that answers from the
// same address: RFC 3542, 6.2, and ip(7).
func source(oob []byte) []byte {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			var info unix.Inet4Pktinfo
			copy(info.Spec_dst[:], m.Data[8:12]) // the address of the packet's header
			return unix.PktInfo4(&info)
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			var info unix.Inet6Pktinfo
			copy(info.Addr[:], m.Data[:16])
			return unix.PktInfo6(&info)
		}
	}
	return nil
}

// Limits of DNS over TCP: RFC 7766.
const (
	tcpIdle  = 10 * time.Second
	tcpConns = 64
)

// ServeTCP answers on a listener until it is closed.
func (s *Server) ServeTCP(l net.Listener) error {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]struct{}{}
	defer func() {
		cancel()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	}()
	slots := make(chan struct{}, tcpConns)
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			time.Sleep(5 * time.Millisecond) // descriptors are short
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			_ = c.Close()
			continue
		}
		mu.Lock()
		open[c] = struct{}{}
		mu.Unlock()
		wg.Go(func() {
			s.conn(ctx, c)
			_ = c.Close()
			mu.Lock()
			delete(open, c)
			mu.Unlock()
			<-slots
		})
	}
}

// conn answers the queries of one connection in their order.
func (s *Server) conn(ctx context.Context, c net.Conn) {
	var size [2]byte
	for {
		_ = c.SetDeadline(time.Now().Add(tcpIdle))
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		out, later := s.answer(q, "tcp")
		if later != nil {
			out = later(ctx)
			_ = c.SetDeadline(time.Now().Add(tcpIdle))
		}
		if out == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}
