// Package parent asks another proxy for a connection: HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928).
package parent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"sallyport/dest"
)

// An Error is why a proxy gave no connection. It repeats nothing that the proxy said
// but numbers.
type Error struct {
	// Refused: it answered, and does not connect. Auth: it wants to know who asks.
	Refused, Auth bool
	What          string
}

func (e *Error) Error() string { return "the parent proxy " + e.What }

func failed(what string, a ...any) *Error { return &Error{What: fmt.Sprintf(what, a...)} }

// A Login is a user and a password. It is not printed.
type Login struct{ user, password func() string }

// NewLogin reads USER:PASSWORD.
func NewLogin(s string) (*Login, error) {
	user, password, ok := strings.Cut(s, ":")
	if !ok || user == "" || len(user) > 255 || len(password) > 255 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, errors.New("expected USER:PASSWORD, each at most 255 bytes of text")
	}
	return &Login{func() string { return user }, func() string { return password }}, nil
}

const (
	maxHead    = 16 << 10
	maxInterim = 8
)

// HTTP asks for a connection by CONNECT. via is what Via says, or "". On success
// nothing that follows the answer was read.
func HTTP(c net.Conn, to dest.Addr, login *Login, via string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n", to)
	if via != "" {
		fmt.Fprintf(&b, "Via: %s\r\n", via)
	}
	if login != nil {
		fmt.Fprintf(&b, "Proxy-Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(login.user()+":"+login.password())))
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(c, b.String()); err != nil {
		return err
	}
	for range maxInterim {
		status, err := head(c)
		switch {
		case err != nil:
			return err
		case status == 407:
			return &Error{Refused: true, Auth: true, What: "answers 407"}
		case status >= 300:
			return &Error{Refused: true, What: fmt.Sprintf("answers %d", status)}
		case status >= 200:
			return nil
		case status == 101:
			return failed("switches protocols")
		}
	}
	return failed("answers informationally without end")
}

// head reads an answer's head to its last byte and no further.
func head(c io.Reader) (status int, err error) {
	var b []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(b[max(0, len(b)-4):]), "\r\n\r\n") && !strings.HasSuffix(string(b[max(0, len(b)-2):]), "\n\n") {
		if len(b) == maxHead {
			return 0, failed("answers with a head that is too large")
		}
		if _, err := io.ReadFull(c, one); err != nil {
			return 0, err
		}
		b = append(b, one[0])
	}
	if len(b) < 13 || string(b[:7]) != "HTTP/1." || b[7] != '0' && b[7] != '1' || b[8] != ' ' || b[12] != ' ' && b[12] != '\r' && b[12] != '\n' {
		return 0, failed("does not speak HTTP")
	}
	for _, d := range b[9:12] {
		if d < '0' || d > '9' {
			return 0, failed("does not speak HTTP")
		}
		status = 10*status + int(d-'0')
	}
	if status < 100 || status > 599 {
		return 0, failed("answers with a status that means nothing")
	}
	return status, nil
}
