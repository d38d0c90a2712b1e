package resolve

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"github.com/miekg/dns"
)

const (
	udpSize    = 1232 // what passes unbroken nearly everywhere
	udpAgain   = time.Second
	maxStrange = 64 // datagrams that answer something else, before it is given up
)

// exchange sends a question and returns the message that answers it.
func (s *server) exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	switch s.Scheme {
	case "udp":
		m, err := s.datagram(ctx, q)
		if err == nil && m.Truncated {
			return s.stream(ctx, q)
		}
		return m, err
	case "https":
		return s.post(ctx, q)
	}
	return s.stream(ctx, q)
}

// datagram asks over UDP, from a port and with an id of its own, once more when
// nothing comes. What does not answer the question is not listened to.
func (s *server) datagram(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	c, err := s.opts.Dial(ctx, "udp", s.address())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	wire, err := q.Pack()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, maxMessage)
	sent, strange := 0, 0
	for {
		if sent == 0 || errors.Is(err, errSilent) {
			if _, err := c.Write(wire); err != nil {
				return nil, err
			}
			sent++
		}
		var m *dns.Msg
		m, err = listen(ctx, c, q, buf, sent == 1)
		switch {
		case err == nil:
			return m, nil
		case errors.Is(err, errStrange) && strange < maxStrange:
			strange++
		case errors.Is(err, errSilent):
		default:
			return nil, err
		}
	}
}

var (
	errStrange = errors.New("it answers something else")
	errSilent  = errors.New("it says nothing")
)

// listen reads one datagram; when it is to be asked again soon, silence ends it.
func listen(ctx context.Context, c net.Conn, q *dns.Msg, buf []byte, soon bool) (*dns.Msg, error) {
	until, _ := ctx.Deadline()
	again := soon && time.Until(until) > udpAgain
	if again {
		until = time.Now().Add(udpAgain)
	}
	_ = c.SetReadDeadline(until)
	if ctx.Err() != nil { // it may have ended before the deadline was set
		return nil, ctx.Err()
	}
	n, err := c.Read(buf)
	if err != nil {
		var ne net.Error
		if again && errors.As(err, &ne) && ne.Timeout() && ctx.Err() == nil {
			return nil, errSilent
		}
		return nil, err
	}
	m := new(dns.Msg)
	if m.Unpack(buf[:n]) != nil || answers(q, m) != nil {
		return nil, errStrange
	}
	return m, nil
}

// stream asks over TCP or TLS, on a connection that is kept for others. One that
// was kept may have ended: then it is asked on a new one.
func (s *server) stream(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	if c := s.take(); c != nil {
		if m, err := s.on(ctx, c, q); err == nil {
			return m, nil
		}
	}
	c, err := s.opts.Dial(ctx, "tcp", s.address())
	if err != nil {
		return nil, err
	}
	if s.Scheme == "tls" {
		tc := tls.Client(c, s.tls)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		c = tc
	}
	return s.on(ctx, c, q)
}

// on puts one question to a connection, and keeps that when it is answered.
func (s *server) on(ctx context.Context, c net.Conn, q *dns.Msg) (*dns.Msg, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	m, err := framed(c, q)
	if err == nil {
		err = answers(q, m)
	}
	if err == nil && m.Truncated {
		err = errors.New("its answer is cut")
	}
	if !stop() || err != nil {
		_ = c.Close()
		return m, err
	}
	s.keep(c)
	return m, nil
}

// framed writes a message with its length and reads one (RFC 7766, 8).
func framed(c net.Conn, q *dns.Msg) (*dns.Msg, error) {
	wire, err := q.Pack()
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	return m, m.Unpack(buf)
}
