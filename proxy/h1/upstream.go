package h1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

const (
	maxResponseHead  = 256 << 10
	maxInformational = 16
)

// An Upstream is an HTTP/1 connection to a server whose response heads are
// checked before net/http reads them. Begin is for any goroutine, the rest as
// for a net.Conn.
type Upstream struct {
	net.Conn
	buf  []byte // of a head that is not whole
	out  []byte // checked, to be passed on
	err  error
	seen int // informational answers
	body follower

	mu       sync.Mutex
	expect   bool // a head comes next
	idle     bool // nothing was asked
	switches bool // another protocol was asked for
}

// NewUpstream puts the check before a connection.
func NewUpstream(c net.Conn) *Upstream { return &Upstream{Conn: c, idle: true} }

// NetConn returns the connection below.
func (u *Upstream) NetConn() net.Conn { return u.Conn }

// Begin says that a request is about to be sent, and whether it asks to switch
// protocols. What comes behind an answer that does is passed on as it is.
func (u *Upstream) Begin(switches bool) {
	u.mu.Lock()
	u.idle, u.expect, u.switches = false, true, switches
	u.mu.Unlock()
}

// Trailing reports whether an answer has come whole but for its trailer. It is for
// any goroutine.
func (u *Upstream) Trailing() bool { return u.body.ended.Load() }

func malformed(public string) *Error {
	return &Error{Status: http.StatusBadGateway, Code: "upstream_malformed", Public: "the destination's answer is malformed", Operator: public}
}

// Read returns checked heads, and bodies as they are.
func (u *Upstream) Read(p []byte) (int, error) {
	for {
		if len(u.out) > 0 {
			n := copy(p, u.out)
			if u.out = u.out[n:]; len(u.out) == 0 {
				u.out = nil
			}
			return n, nil
		}
		if u.err != nil {
			return 0, u.err
		}
		n, err := u.Conn.Read(p)
		u.mu.Lock()
		idle, expect := u.idle, u.expect
		u.mu.Unlock()
		switch {
		case n > 0 && idle:
			u.err = malformed("it answers what was not asked")
			continue
		case !expect:
			u.body.pass(p[:n])
			return n, err
		}
		if len(u.buf) == 0 { // nearly always the whole head comes at once
			if ok, e := u.whole(p[:n]); e != nil {
				u.err = e
				continue
			} else if ok {
				return n, err
			}
		}
		u.buf = append(u.buf, p[:n]...)
		if err != nil && len(u.buf) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if e := u.heads(); e != nil {
			u.err = e
		} else if err != nil {
			u.err = err
			var t net.Error
			if errors.As(err, &t) && t.Timeout() {
				u.err = nil
				return 0, err
			}
		}
	}
}

// whole reports whether what came is the head that counts and what follows it.
func (u *Upstream) whole(b []byte) (bool, *Error) {
	end := headEnd(b)
	if end < 0 {
		return false, nil
	}
	status, chunked, err := checkResponse(b[:end])
	if err != nil || status < 200 {
		return false, err
	}
	u.seen = 0
	u.follow(chunked, b[end:])
	u.mu.Lock()
	u.expect = false
	u.mu.Unlock()
	return true, nil
}

// heads checks the heads that are whole and passes them on, informational ones
// and the one that counts; what follows is the body.
func (u *Upstream) heads() *Error {
	for {
		end := headEnd(u.buf)
		if end < 0 {
			if len(u.buf) > maxResponseHead {
				return malformed("its head is too large")
			}
			return nil
		}
		status, chunked, err := checkResponse(u.buf[:end])
		if err != nil {
			return err
		}
		u.mu.Lock()
		agreed := u.switches && status == http.StatusSwitchingProtocols
		u.mu.Unlock()
		if status == http.StatusSwitchingProtocols && !agreed {
			return malformed("it switches protocols, and nobody asked for that")
		}
		if status >= 200 || agreed {
			u.follow(chunked && !agreed, u.buf[end:])
			u.out, u.buf, u.seen = append(u.out, u.buf...), nil, 0
			u.mu.Lock()
			u.expect = false
			u.mu.Unlock()
			return nil
		}
		if u.seen++; u.seen > maxInformational {
			return malformed("it sends informational answers without end")
		}
		u.out = append(u.out, u.buf[:end]...)
		u.buf = bytes.Clone(u.buf[end:])
	}
}

// follow begins with what came of a body already.
func (u *Upstream) follow(chunked bool, b []byte) {
	u.body.stop()
	if chunked {
		u.body.begin()
		u.body.pass(b)
	}
}

// headEnd finds the empty line, whichever of both line ends a server uses.
func headEnd(b []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		if i < len(b) && b[i] == '\n' {
			return i + 1
		}
		if i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n' {
			return i + 2
		}
	}
}

func checkResponse(b []byte) (status int, chunked bool, err *Error) {
	for i, c := range b {
		if c == 0 || c == '\r' && (i+1 >= len(b) || b[i+1] != '\n') {
			return 0, false, malformed("its head has a NUL or a bare CR")
		}
	}
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[7] != '0' && line[7] != '1' || line[8] != ' ' ||
		!digit(line[9]) || !digit(line[10]) || !digit(line[11]) || len(line) > 12 && line[12] != ' ' {
		return 0, false, malformed("its status line is not one of HTTP/1")
	}
	status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	if status < 100 || status > 599 {
		return 0, false, malformed("its status means nothing here")
	}
	var cl []byte
	te := false
	for len(rest) > 0 {
		var f []byte
		f, rest, _ = bytes.Cut(rest, []byte("\n"))
		f = bytes.TrimSuffix(f, []byte("\r"))
		if len(f) == 0 || f[0] == ' ' || f[0] == '\t' { // the end, or a folded line, which net/http unfolds
			continue
		}
		name, value, colon := bytes.Cut(f, []byte(":"))
		switch {
		case !colon || !token(name):
			return 0, false, malformed("its head has a field without a name")
		case bytes.EqualFold(name, []byte("Content-Length")):
			value = bytes.Trim(value, " \t")
			if _, ok := length(value); !ok || cl != nil && !bytes.Equal(cl, value) {
				return 0, false, malformed("its Content-Length is not one number")
			}
			cl = value
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			if te {
				return 0, false, malformed("its Transfer-Encoding stands twice")
			}
			te = true
		}
	}
	if te && line[7] == '0' { // RFC 9112, 6.1
		return 0, false, malformed("it has a Transfer-Encoding in HTTP/1.0")
	}
	if te && cl != nil {
		return 0, false, malformed("its length is said twice, by Content-Length and Transfer-Encoding")
	}
	return status, te, nil
}
