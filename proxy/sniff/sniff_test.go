package sniff

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// pair is a connection over real sockets.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		send   string
		want   Kind
		remark string
	}{
		{"GET / HTTP/1.1\r\n", HTTP1, ""},
		{"PROPFIND / HTTP/1.1\r\n", HTTP1, ""},
		{"get / HTTP/1.1\r\n", HTTP1, "for the strict reader to refuse"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", H2Preface, "hostile 65"},
		{"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", HTTP1, "hostile 65: for the strict reader to refuse"},
		{"PRI * HTTP/2.0\r\nHost: a\r\n\r\n", Unknown, "hostile 65"},
		{"SSH-2.0-OpenSSH\r\n", Unknown, "hostile 39"},
		{"\x00\x01\x02", Unknown, "hostile 39"},
		{"\x80\x2e\x01\x03\x01", Unknown, "hostile 39: SSLv2"},
		{strings.Repeat("A", 100), Unknown, "hostile 39"},
		{"\x16\x03\x01\x00\x05hello", Unknown, "hostile 38: a handshake that is none"},
	} {
		client, server := pair(t)
		if _, err := io.WriteString(client, c.send); err != nil {
			t.Fatal(err)
		}
		client.(*net.TCPConn).CloseWrite()
		kind, _, conn, _ := Conn(server, time.Second, 64<<10)
		if kind != c.want {
			t.Errorf("%q is %v, want %v (%s)", c.send, kind, c.want, c.remark)
		}
		if got, _ := io.ReadAll(conn); string(got) != c.send {
			t.Errorf("%q is replayed as %q", c.send, got)
		}
	}
}

// hostile 40
func TestSilence(t *testing.T) {
	_, server := pair(t)
	if kind, _, _, err := Conn(server, 20*time.Millisecond, 64<<10); kind != Silent || err != nil {
		t.Fatal(kind, err)
	}
}

// slow sends one byte a record, and one byte a segment.
type slow struct{ net.Conn }

func (s slow) Write(p []byte) (int, error) {
	out := p
	if len(p) > 5 && p[0] == 22 {
		out = nil
		for _, b := range p[5:] {
			out = append(out, 22, 3, 1, 0, 1, b)
		}
	}
	for _, b := range out {
		if _, err := s.Conn.Write([]byte{b}); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// hostile 35, 38, 41
func TestHello(t *testing.T) {
	for _, c := range []struct {
		name, want string
		slow       bool
	}{
		{"api.example.com", "api.example.com", false},
		{"API.Example.com", "api.example.com", false},
		{"api.example.com", "api.example.com", true},
		{"", "", false},
	} {
		client, server := pair(t)
		var raw net.Conn = client
		if c.slow {
			raw = slow{client}
		}
		go func() {
			_ = tls.Client(raw, &tls.Config{ServerName: c.name, InsecureSkipVerify: true, NextProtos: []string{"h2"}}).Handshake() //nolint:gosec // nobody answers
		}()
		kind, h, _, err := Conn(server, 5*time.Second, 64<<10)
		if err != nil || kind != TLS || h.ServerName.String() != c.want || h.NameErr != nil || len(h.ALPN) != 1 || h.ECH {
			t.Errorf("%+v: %v %+v %v", c, kind, h, err)
		}
	}
}

// hostile 38: the hello is replayed whole, so that the real handshake works.
func TestHelloReplayed(t *testing.T) {
	client, server := pair(t)
	done := make(chan error, 1)
	go func() {
		done <- tls.Client(slow{client}, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true}).Handshake() //nolint:gosec // the certificate is not the point
	}()
	_, _, conn, err := Conn(server, 5*time.Second, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	_ = tls.Server(conn, &tls.Config{GetCertificate: func(i *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if i.ServerName != "a.example" {
			t.Errorf("server name %q", i.ServerName)
		}
		return nil, io.EOF
	}}).Handshake()
	conn.Close()
	<-done
}

// hostile 38: what is larger than any hello is refused, not waited for.
func TestHelloTooLong(t *testing.T) {
	client, server := pair(t)
	go func() { // the beginning of a handshake message of 60 KiB, and silence
		body := make([]byte, 16<<10)
		copy(body, []byte{1, 0, 0xf0, 0})
		_, _ = client.Write(append([]byte{22, 3, 1, 0x40, 0}, body...))
	}()
	kind, _, _, err := Conn(server, 2*time.Second, 8<<10)
	if kind != Unknown || !errors.Is(err, ErrHelloTooLong) {
		t.Fatal(kind, err)
	}
}
