package sniff

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/dest"
)

// A script is a connection from which bytes come in pieces.
type script struct {
	net.Conn
	in   []byte
	cut  []byte // sizes of pieces, in turns; none is all at once
	turn int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := len(s.in)
	if len(s.cut) > 0 {
		n = int(s.cut[s.turn%len(s.cut)])%64 + 1
		s.turn++
	}
	n = copy(p, s.in[:min(n, len(s.in))])
	s.in = s.in[n:]
	return n, nil
}

func (s *script) SetReadDeadline(time.Time) error { return nil }
func (s *script) SetDeadline(time.Time) error     { return nil }
func (s *script) LocalAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr            { return &net.TCPAddr{} }
func (s *script) Close() error                    { return nil }

// What a connection speaks does not depend on how it comes in pieces, and not a
// byte is lost, added or needed that says nothing of it.
func FuzzConn(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "\x16\x03\x01\x00\x05hello", "\x00", "get / x", "G\r\n", "\x16\x03\x01\x40\x00", "PRI * HTTP/2.1", "\x05\x01\x00", "A B", " /", "\xff\xff"} {
		f.Add([]byte(s), []byte{0})
	}
	f.Fuzz(func(t *testing.T, in, cut []byte) {
		kind, hello, conn, _ := Conn(&script{in: slices.Clone(in)}, time.Second, 4<<10)
		kind2, hello2, conn2, _ := Conn(&script{in: slices.Clone(in), cut: append(slices.Clone(cut), 0)}, time.Second, 4<<10)
		if kind != kind2 || (hello == nil) != (hello2 == nil) {
			t.Fatalf("%q is %v at once and %v in pieces", in, kind, kind2)
		}
		for _, c := range []net.Conn{conn, conn2} {
			if got, _ := io.ReadAll(c); !bytes.Equal(got, in) {
				t.Fatalf("%q is passed on as %q", in, got)
			}
		}
		switch kind {
		case TLS:
			if in[0] != 22 || hello == nil {
				t.Fatalf("%q is TLS with %+v", in, hello)
			}
		case H2Preface:
			if !bytes.HasPrefix(in, []byte("PRI * HTTP/2.0\r\n")) {
				t.Fatalf("%q is HTTP/2", in)
			}
		case HTTP1:
			word, _, _ := strings.Cut(string(in), " ")
			if in[0] == 22 || len(word) > longestVerb+1 && !strings.ContainsAny(word, "\r\n") || strings.HasPrefix(string(in), preface) {
				t.Fatalf("%q is HTTP/1", in)
			}
		case Silent:
			t.Fatalf("%q is silence", in)
		}
	})
}

// clientHello is the handshake message that a client of crypto/tls sends.
func clientHello(tb testing.TB, cfg *tls.Config) []byte {
	tb.Helper()
	var out bytes.Buffer
	c := tls.Client(&mute{w: &out}, cfg)
	_ = c.HandshakeContext(context.Background())
	b := out.Bytes()
	if len(b) < 6 || b[0] != 22 {
		tb.Fatalf("%x is no hello", b)
	}
	return b[5:]
}

// A mute connection keeps what is written, and says nothing.
type mute struct {
	script
	w *bytes.Buffer
}

func (m *mute) Write(p []byte) (int, error)      { return m.w.Write(p) }
func (m *mute) SetWriteDeadline(time.Time) error { return nil }

// records puts a handshake message into records of these sizes, in turns.
func records(msg, cut []byte) (out []byte) {
	for i := 0; len(msg) > 0; i++ {
		n := len(msg)
		if len(cut) > 0 {
			n = int(cut[i%len(cut)]) + 1
		}
		n = min(n, len(msg), 16<<10)
		out = append(out, 22, 3, 1)
		out = binary.BigEndian.AppendUint16(out, uint16(n))
		out = append(out, msg[:n]...)
		msg = msg[n:]
	}
	return out
}

// A ClientHello says the same whole and in records of any size, and what the
// handshake reads of it afterwards is what was judged: the name, the protocols and
// whether another name may be inside.
func FuzzHello(f *testing.F) {
	for _, cfg := range []*tls.Config{
		{ServerName: "api.example.com", NextProtos: []string{"h2", "http/1.1"}}, {ServerName: "API.Example.COM."}, {InsecureSkipVerify: true}, {ServerName: "a.example", MaxVersion: tls.VersionTLS12}, //nolint:gosec // nobody answers
		{ServerName: strings.Repeat("a", 60) + ".example", NextProtos: []string{"x"}}, {ServerName: "xn--bcher-kva.example"},
	} {
		f.Add(clientHello(f, cfg), []byte{0})
		f.Add(clientHello(f, cfg), []byte{3, 200, 0, 17})
	}
	f.Fuzz(func(t *testing.T, msg, cut []byte) {
		if len(msg) < 4 || msg[0] != 1 || int(msg[1])<<16|int(msg[2])<<8|int(msg[3]) != len(msg)-4 || len(msg) > 8<<10 {
			return // one whole ClientHello
		}
		whole, pieces := records(msg, nil), records(msg, cut)
		const max = 64 << 10
		kind, h, conn, err := Conn(&script{in: slices.Clone(whole)}, time.Second, max)
		kind2, h2, conn2, err2 := Conn(&script{in: slices.Clone(pieces), cut: cut}, time.Second, max)
		if kind != kind2 || (err == nil) != (err2 == nil) {
			t.Fatalf("%x is %v %v whole, %v %v in pieces of %v", msg, kind, err, kind2, err2, cut)
		}
		if kind != TLS {
			return
		}
		if h.ServerName != h2.ServerName || (h.NameErr == nil) != (h2.NameErr == nil) || !slices.Equal(h.ALPN, h2.ALPN) || h.ECH != h2.ECH {
			t.Fatalf("%x is %+v whole, %+v in pieces", msg, h, h2)
		}
		for _, c := range []net.Conn{conn, conn2} {
			var seen *tls.ClientHelloInfo
			_ = tls.Server(&mute{script: script{Conn: c, in: all(t, c)}, w: new(bytes.Buffer)}, &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
				seen = i
				return nil, io.EOF
			}}).HandshakeContext(context.Background())
			if seen == nil {
				t.Fatalf("%x is taken, and the handshake does not read it", msg)
			}
			name, err := dest.ParseHost(seen.ServerName)
			if seen.ServerName != "" && h.NameErr == nil && (err != nil || name != h.ServerName) || seen.ServerName == "" && !h.ServerName.IsZero() || !slices.Equal(seen.SupportedProtos, h.ALPN) {
				t.Fatalf("%x is judged as %+v, and the handshake reads %q %q", msg, h, seen.ServerName, seen.SupportedProtos)
			}
			if slices.Contains(seen.Extensions, extensionECH) != h.ECH {
				t.Fatalf("%x: ECH is %v", msg, h.ECH)
			}
		}
		if _, ip := h.ServerName.Addr(); ip || h.NameErr != nil && !h.ServerName.IsZero() {
			t.Fatalf("%x is for %v, %v", msg, h.ServerName, h.NameErr)
		}
	})
}

func all(t *testing.T, c net.Conn) []byte {
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
