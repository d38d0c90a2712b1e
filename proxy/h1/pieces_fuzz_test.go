package h1

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// torn gives what it has in pieces of sizes that recur.
type torn struct {
	net.Conn
	rest  []byte
	sizes []byte
	at    int
}

func (c *torn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := len(c.rest)
	if len(c.sizes) > 0 {
		n = int(c.sizes[c.at%len(c.sizes)]) + 1
		c.at++
	}
	n = copy(p, c.rest[:min(n, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

// What passes does not depend on the pieces in which it comes, nor on the room of
// whoever reads; only which of many faults is found first may.
func FuzzPieces(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\n" + h + "\r\n", "\r\nGET / HTTP/1.1\r\n" + h + "\r\nGET /b HTTP/1.1\r\n" + h + "\r\n",
		"POST / HTTP/1.1\r\n" + h + "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" + h + "\r\n",
		"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.0\r\n" + h + "\r\n",
		"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nx", "GET / HTTP/1.1\r\n" + h + "Upgrade: websocket\r\n\r\nab", "GET / HTTP/1.1\n" + h + "\r\n", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n",
	} {
		f.Add([]byte(s), []byte{0}, uint16(4096))
		f.Add([]byte(s), []byte{3, 20, 0}, uint16(512))
		f.Add([]byte(s), []byte{200}, uint16(1))
	}
	f.Fuzz(func(t *testing.T, in, sizes []byte, room uint16) {
		read := func(c *torn, room int) (out []byte, code string, cut bool) {
			h := NewConn(c, Limits{Head: 4 << 10})
			p := make([]byte, room)
			for {
				n, err := h.Read(p)
				if out = append(out, p[:n]...); err != nil {
					cut = err != io.EOF //nolint:errorlint // the end of what there is
					break
				}
			}
			if r := h.refused.Load(); r != nil {
				out, code = bytes.ReplaceAll(out, []byte(r.nonce), nil), r.err.Code
			}
			return out, code, cut
		}
		out, code, cut := read(&torn{rest: in}, 64<<10)
		again, code2, cut2 := read(&torn{rest: in, sizes: sizes}, int(room)+1)
		if !bytes.Equal(out, again) || (code == "") != (code2 == "") || cut != cut2 {
			t.Fatalf("%q passes as %q (%s, %v), and in pieces as %q (%s, %v)", in, out, code, cut, again, code2, cut2)
		}
	})
}
