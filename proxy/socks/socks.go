// Package socks is the server's half of a SOCKS5 handshake: RFC 1928, and RFC 1929 for passwords.
package socks

import (
	"errors"
	"io"
	"net/netip"

	"sallyport/dest"
)

// First bytes of a connection that tell SOCKS from HTTP.
const (
	Version4 = 4
	Version5 = 5
)

// A Reply is what a request is answered: RFC 1928, 6.
type Reply byte

const (
	Succeeded          Reply = 0
	Failure            Reply = 1 // of the proxy itself
	NotAllowed         Reply = 2
	HostUnreachable    Reply = 4
	Refused            Reply = 5
	Expired            Reply = 6
	CommandUnsupported Reply = 7
	AddressUnsupported Reply = 8
)

// A Request is what a client wants to be connected to. The name is canonical.
type Request struct {
	Command Command
	To      dest.Addr
}

// A Command is what a client asks to be done: only Connect can be.
type Command byte

const (
	Connect   Command = 1
	Bind      Command = 2
	Associate Command = 3 // of UDP
)

func (c Command) String() string {
	switch c {
	case Connect:
		return "CONNECT"
	case Bind:
		return "BIND"
	case Associate:
		return "UDP ASSOCIATE"
	}
	return "unknown"
}

// What ends a handshake. The client was answered, as far as there is an answer.
var (
	ErrMalformed = errors.New("the SOCKS handshake is malformed")
	ErrNoMethod  = errors.New("the client does not offer what is asked for here")
)

// An AddressError is a destination that is none. It was answered.
type AddressError struct{ Err error }

func (e *AddressError) Error() string { return e.Err.Error() }
func (e *AddressError) Unwrap() error { return e.Err }

// Accept reads a handshake behind its first byte, which was Version5, up to the
// request, and not a byte further: what follows is the client's to its destination.
// password judges what is shown, and its error is returned; nil asks for none. The
// request itself is left to be answered with Answer. Deadlines are the caller's.
func Accept(c io.ReadWriter, password func([]byte) error) (*Request, error) {
	methods, err := counted(c)
	if err != nil {
		return nil, err
	}
	if err := agree(c, methods, password); err != nil {
		return nil, err
	}
	return request(c)
}

// Answer says what became of a request. The address that it could carry is of no
// use to a client, and tells of the machine: it is zero.
func Answer(w io.Writer, r Reply) error {
	_, err := w.Write([]byte{Version5, byte(r), 0, addressIPv4, 0, 0, 0, 0, 0, 0})
	return err
}

// Reject4 tells a client of SOCKS4 that it is refused.
func Reject4(w io.Writer) error {
	_, err := w.Write([]byte{0, 91, 0, 0, 0, 0, 0, 0})
	return err
}

// Kinds of address.
const (
	addressIPv4 = 1
	addressName = 3
	addressIPv6 = 4
)

// request reads what the client wants. What is malformed is answered.
func request(c io.ReadWriter) (*Request, error) {
	head, err := take(c, 4)
	if err != nil {
		return nil, err
	}
	if head[0] != Version5 || head[2] != 0 {
		_ = Answer(c, Failure)
		return nil, ErrMalformed
	}
	host, err := address(c, head[3])
	var bad *AddressError
	if err != nil && !errors.As(err, &bad) {
		_ = Answer(c, AddressUnsupported)
		return nil, err
	}
	port, err := take(c, 2)
	if err != nil {
		return nil, err
	}
	n := uint16(port[0])<<8 | uint16(port[1])
	if bad == nil && n == 0 {
		bad = &AddressError{errors.New("port 0 is none")}
	}
	if bad != nil {
		_ = Answer(c, HostUnreachable)
		return nil, bad
	}
	return &Request{Command(head[1]), dest.NewAddr(host, n)}, nil
}

// address reads a destination of one kind. An AddressError leaves the port to be read.
func address(c io.Reader, kind byte) (dest.Host, error) {
	switch kind {
	case addressIPv4, addressIPv6:
		b, err := take(c, map[byte]int{addressIPv4: 4, addressIPv6: 16}[kind])
		if err != nil {
			return dest.Host{}, err
		}
		a, _ := netip.AddrFromSlice(b)
		return dest.HostFromAddr(a), nil
	case addressName:
		b, err := counted(c)
		if err != nil {
			return dest.Host{}, err
		}
		h, err := dest.ParseHost(string(b))
		if err != nil {
			return h, &AddressError{err}
		}
		return h, nil
	}
	return dest.Host{}, ErrMalformed
}
