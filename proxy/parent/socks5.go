package parent

import (
	"encoding/binary"
	"io"
	"net"

	"sallyport/dest"
)

// replies are those of RFC 1928, 6.
var replies = []string{"", "failed", "does not allow it", "finds no way to the network", "finds no way to the host", "was refused by the destination", "waited for too long", "does not know how to connect", "does not know this kind of address"}

// SOCKS5 asks for a connection by SOCKS5, with a user and a password (RFC 1929) when
// there is a login. On success nothing that follows the answer was read.
func SOCKS5(c net.Conn, to dest.Addr, login *Login) error {
	methods := []byte{5, 1, 0}
	if login != nil {
		methods = []byte{5, 2, 0, 2}
	}
	if _, err := c.Write(methods); err != nil {
		return err
	}
	var b [4]byte
	if _, err := io.ReadFull(c, b[:2]); err != nil {
		return err
	}
	switch {
	case b[0] != 5:
		return failed("does not speak SOCKS5")
	case b[1] == 2 && login != nil:
		if err := signIn(c, login); err != nil {
			return err
		}
	case b[1] != 0:
		return &Error{Refused: true, Auth: true, What: "wants to know otherwise who asks"}
	}
	req := []byte{5, 1, 0}
	host := to.Host()
	if a, ok := host.Addr(); !ok {
		req = append(append(req, 3, byte(len(host.String()))), host.String()...)
	} else if a.Is4() {
		req = append(append(req, 1), a.AsSlice()...)
	} else {
		req = append(append(req, 4), a.AsSlice()...)
	}
	if _, err := c.Write(binary.BigEndian.AppendUint16(req, to.Port())); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b[:4]); err != nil {
		return err
	}
	if b[0] != 5 {
		return failed("does not speak SOCKS5")
	}
	if n := int(b[1]); n != 0 {
		what := "answers with a reply that means nothing"
		if n < len(replies) {
			what = replies[n]
		}
		return &Error{Refused: true, What: what}
	}
	size := 0
	switch b[3] { // the address from which it connects, which nobody needs
	case 1:
		size = 4
	case 4:
		size = 16
	case 3:
		if _, err := io.ReadFull(c, b[:1]); err != nil {
			return err
		}
		size = int(b[0])
	default:
		return failed("does not speak SOCKS5")
	}
	_, err := io.ReadFull(c, make([]byte, size+2))
	return err
}

func signIn(c net.Conn, l *Login) error {
	user, password := l.user(), l.password()
	msg := append([]byte{1, byte(len(user))}, user...)
	msg = append(append(msg, byte(len(password))), password...)
	if _, err := c.Write(msg); err != nil {
		return err
	}
	var b [2]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	if b[1] != 0 {
		return &Error{Refused: true, Auth: true, What: "does not take the user and password"}
	}
	return nil
}
