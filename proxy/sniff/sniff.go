// Package sniff says what a connection speaks from its first bytes.
package sniff

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"sallyport/dest"
)

// A Kind is what was found. The zero Kind is Unknown.
type Kind int

const (
	Unknown   Kind = iota
	Silent         // nothing came in time: the server may speak first
	HTTP1          // a request line
	H2Preface      // HTTP/2 without TLS: the whole of RFC 9113, 3.4
	TLS            // a ClientHello
)

// A Hello is what a ClientHello says.
type Hello struct {
	ServerName dest.Host
	NameErr    error // the server name is there and is not a host name
	ALPN       []string
	ECH        bool // the encrypted_client_hello extension is there; browsers send it without meaning it too
}

const (
	extensionECH = 0xfe0d // RFC 9849
	preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	longestVerb  = 24
)

// Conn reads until it knows, for at most timeout and max bytes, and returns a
// connection that begins with what was read. The deadline is lifted again.
func Conn(c net.Conn, timeout time.Duration, max int) (Kind, *Hello, net.Conn, error) {
	_ = c.SetReadDeadline(time.Now().Add(timeout))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	p := &replay{Conn: c}
	var one [1]byte
	if _, err := io.ReadFull(c, one[:]); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) { // or it waited for less long
			return Silent, nil, c, nil
		}
		return Unknown, nil, c, err
	}
	p.head = append(p.head, one[0])
	if one[0] == 22 { // handshake: RFC 8446, 5.1
		h, err := hello(p, max)
		if err != nil {
			return Unknown, nil, p, err
		}
		return TLS, h, p, nil
	}
	kind, err := verb(p)
	return kind, nil, p, err
}

// verb reads as far as a method and its space, or the HTTP/2 preface.
func verb(p *replay) (Kind, error) {
	var one [1]byte
	for {
		last := p.head[len(p.head)-1]
		switch {
		case len(p.head) <= len(preface) && len(p.head) > 4 && string(p.head) == preface[:len(p.head)]:
			if len(p.head) == len(preface) {
				return H2Preface, nil
			}
		case last == ' ' && len(p.head) > 1 && string(p.head) != "PRI ":
			return HTTP1, nil
		case last == '\r' || last == '\n': // for the strict reader to refuse with words
			if len(p.head) > 3 {
				return HTTP1, nil
			}
			return Unknown, nil
		case string(p.head) == "PRI ":
		case !(last >= 'A' && last <= 'Z' || last >= 'a' && last <= 'z' || last == '-' || last == '_') || len(p.head) > longestVerb:
			return Unknown, nil
		}
		if _, err := io.ReadFull(p.Conn, one[:]); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
				return Unknown, nil
			}
			return Unknown, err
		}
		p.head = append(p.head, one[0])
	}
}

var errEnough = errors.New("the hello was read")

// ErrHelloTooLong means a ClientHello that is larger than any client's.
var ErrHelloTooLong = errors.New("the ClientHello is too long")

// hello lets crypto/tls reassemble and parse the ClientHello: records and
// messages may be cut anywhere (hostile 38).
func hello(p *replay, max int) (*Hello, error) {
	var out *Hello
	rec := &recorder{p: p, max: max}
	err := tls.Server(rec, &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		out = &Hello{ALPN: i.SupportedProtos}
		if i.ServerName != "" {
			out.ServerName, out.NameErr = dest.ParseHost(i.ServerName)
			if _, ip := out.ServerName.Addr(); ip { // RFC 6066, 3: no addresses
				out.ServerName, out.NameErr = dest.Host{}, errors.New("the server name is an address")
			}
		}
		for _, e := range i.Extensions {
			out.ECH = out.ECH || e == extensionECH
		}
		return nil, errEnough
	}}).Handshake()
	if out == nil {
		return nil, err
	}
	return out, nil
}

// A recorder gives crypto/tls what comes, keeps it, and sends nothing.
type recorder struct {
	p   *replay
	at  int
	max int
}

func (r *recorder) Read(b []byte) (int, error) {
	if r.at < len(r.p.head) {
		n := copy(b, r.p.head[r.at:])
		r.at += n
		return n, nil
	}
	if len(r.p.head) >= r.max {
		return 0, ErrHelloTooLong
	}
	n, err := r.p.Conn.Read(b[:min(len(b), r.max-len(r.p.head))])
	r.p.head = append(r.p.head, b[:n]...)
	r.at += n
	return n, err
}

func (r *recorder) Write(b []byte) (int, error)      { return len(b), nil }
func (r *recorder) Close() error                     { return nil }
func (r *recorder) LocalAddr() net.Addr              { return r.p.Conn.LocalAddr() }
func (r *recorder) RemoteAddr() net.Addr             { return r.p.Conn.RemoteAddr() }
func (r *recorder) SetDeadline(time.Time) error      { return nil }
func (r *recorder) SetReadDeadline(time.Time) error  { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

// A replay is a connection that begins with what was read of it already.
type replay struct {
	net.Conn
	head []byte
}

func (p *replay) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		if p.head = p.head[n:]; len(p.head) == 0 {
			p.head = nil
		}
		return n, nil
	}
	return p.Conn.Read(b)
}

// Unread takes out what was read already, and returns what is read from now on.
func (p *replay) Unread() (head []byte, below net.Conn) {
	head, p.head = p.head, nil
	return head, p.Conn
}

// CloseWrite passes a half-close on.
func (p *replay) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return p.Conn.Close()
}

// NetConn returns the connection below.
func (p *replay) NetConn() net.Conn { return p.Conn }
