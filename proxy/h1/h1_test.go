package h1

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

type connKey struct{}

// listener puts the strict reader before what a listener accepts.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return NewConn(c, Limits{}), nil
}

// serve starts a real http.Server behind the strict reader. It answers with what
// it understood.
func serve(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		DisableGeneralOptionsHandler: true,
		ConnContext:                  func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := r.Context().Value(connKey{}).(*Conn)
			if e := c.Refused(r); e != nil {
				w.Header().Set("Connection", "close")
				http.Error(w, e.Code, e.Status)
				return
			}
			b, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			if r.Method == http.MethodConnect {
				w.Header().Set("Connection", "close")
			}
			fmt.Fprintf(w, "%s %s %s %q", r.Method, r.RequestURI, r.Host, b)
		}),
	}
	go func() { _ = s.Serve(listener{l}) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// talk sends bytes and returns the status and body of each answer.
func talk(t *testing.T, addr, send string) (answers []string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		_, _ = io.WriteString(c, send)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	br := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return answers
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			b = append(b, "…cut"...)
		}
		answers = append(answers, fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(b))))
		if resp.StatusCode == 100 {
			answers = answers[:len(answers)-1]
		}
	}
}

const h = "Host: a.example\r\n"

func TestRequests(t *testing.T) {
	addr := serve(t)
	big := strings.Repeat("x", 70<<10)
	for _, c := range []struct{ send, want, remark string }{
		{"GET / HTTP/1.1\r\n" + h + "\r\n", `200 GET / a.example ""`, ""},
		{"GET /%2F/a//b?x=%20 HTTP/1.1\r\n" + h + "\r\n", `200 GET /%2F/a//b?x=%20 a.example ""`, "bytes pass unchanged"},
		{"GET / HTTP/1.0\r\n" + h + "\r\n", `200 GET / a.example ""`, ""},
		{"POST / HTTP/1.1\r\n" + h + "Content-Length: 5\r\n\r\nhello", `200 POST / a.example "hello"`, ""},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", `200 POST / a.example "hello"`, "hostile 60: a short extension"},
		{"GET / HTTP/1.1\r\n" + h + "\r\nGET /2 HTTP/1.1\r\nHost: b.example\r\n\r\n", `200 GET / a.example ""|200 GET /2 b.example ""`, "hostile 75: pipelined"},
		{"GET / HTTP/1.1\r\n" + h + "\r\nget /2 HTTP/1.1\r\n" + h + "\r\nGET /3 HTTP/1.1\r\n" + h + "\r\n", `200 GET / a.example ""|400 method_invalid`, "hostile 75: nothing behind a refusal is read"},
		{"GET http://a.example/x HTTP/1.1\r\n" + h + "\r\n", `200 GET http://a.example/x a.example ""`, ""},
		{"GET http://b.example/x HTTP/1.1\r\n" + h + "\r\n", "400 authority_contradiction", "hostile 31"},
		{"GET / HTTP/1.1\r\n" + h + h + "\r\n", "400 header_duplicate", "two Host"},
		{"GET / HTTP/1.1\r\n\r\n", "400 host_missing", "no Host"},
		{"GET / HTTP/1.0\r\n\r\n", "400 host_missing", "no Host in 1.0"},
		{"CONNECT a.example:443 HTTP/1.1\r\n\r\n", "400 host_missing", "no Host in CONNECT"},
		{"CONNECT a.example HTTP/1.0\r\n\r\n", "400 authority_invalid", "CONNECT of 1.0 without a port"},
		{"GET http://good@evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "400 host_invalid", "hostile 23"},
		{"CONNECT good@evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", "400 authority_invalid", "hostile 23"},
		{"GET / HTTP/1.1\r\nHost: %65vil.example\r\n\r\n", "400 host_invalid", "hostile 22"},
		{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 host_invalid", "hostile 24"},
		{"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", `200 CONNECT a.example:443 a.example:443 ""`, ""},
		{"CONNECT a.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n", "400 authority_contradiction", "hostile 32"},
		{"CONNECT /foo HTTP/1.1\r\n" + h + "\r\n", "400 authority_invalid", ""},
		{"CONNECT a.example HTTP/1.1\r\n" + h + "\r\n", "400 authority_invalid", "no port"},
		{"CONNECT [fe80::1%25eth0]:443 HTTP/1.1\r\n" + h + "\r\n", "400 authority_invalid", "hostile 7"},
		{"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nContent-Length: 3\r\n\r\nabc", "400 framing_invalid", "a body of CONNECT"},
		{"POST / HTTP/1.1\r\n" + h + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 framing_invalid", "hostile 54: CL.TE"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400 framing_invalid", "hostile 54: TE.CL"},
		{"POST / HTTP/1.1\r\n" + h + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400 header_duplicate", "hostile 57"},
		{"POST / HTTP/1.1\r\n" + h + "Content-Length: +2\r\n\r\nhi", "400 framing_invalid", "hostile 57"},
		{"POST / HTTP/1.1\r\n" + h + "Content-Length: 0x2\r\n\r\nhi", "400 framing_invalid", "hostile 57"},
		{"POST / HTTP/1.1\r\n" + h + "Content-Length: \r\n\r\nhi", "400 framing_invalid", "hostile 57"},
		{"POST / HTTP/1.1\r\n" + h + "Content-Length: 2, 2\r\n\r\nhi", "400 framing_invalid", "hostile 57"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400 framing_invalid", "hostile 55"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400 framing_invalid", "hostile 55"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 header_duplicate", "hostile 55"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "400 header_invalid", "hostile 55"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400 header_invalid", "hostile 55, 59: space before the colon"},
		{"POST / HTTP/1.0\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 framing_invalid", "hostile 56"},
		{"GET / HTTP/1.1\r\n" + h + "A: b\r\n c\r\n\r\n", "400 header_invalid", "hostile 59: obs-fold"},
		{"GET / HTTP/1.1\n" + h + "\r\n", "400 line_invalid", "hostile 59: bare LF"},
		{"GET / HTTP/1.1\r\nHost: a.example\n\r\n\r\n", "400 line_invalid", "hostile 59: bare LF"},
		{"GET / HTTP/1.1\r\n" + h + "A: b\rc\r\n\r\n", "400 line_invalid", "hostile 59: bare CR"},
		{"GET / HTTP/1.1\r\n" + h + "A: b\x00c\r\n\r\n", "400 header_invalid", "hostile 59: NUL"},
		{"GET / HTTP/1.1\r\n" + h + "A b: c\r\n\r\n", "400 header_invalid", "hostile 59: space in a name"},
		{"GET / HTTP/1.1\r\n" + h + " A: c\r\n\r\n", "400 header_invalid", "hostile 59: space before a name"},
		{"GET / HTTP/1.1\r\n" + h + "Ä: c\r\n\r\n", "400 header_invalid", "hostile 59: non-ASCII name"},
		{"GET / HTTP/1.1\r\n" + h + ": c\r\n\r\n", "400 header_invalid", "hostile 59: no name"},
		{"\r\nGET / HTTP/1.1\r\n" + h + "\r\n", "400 line_invalid", "an empty line first"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("a", 300) + "\r\nhello\r\n0\r\n\r\n", "", "hostile 60: a long extension"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n5;a\x01b\r\nhello\r\n0\r\n\r\n", "", "hostile 60: a control character in an extension"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "", "hostile 60: bare LF"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "", "hostile 60: size"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloGET\r\n0\r\n\r\n", "", "hostile 60: longer than its size"},
		{"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", "", "hostile 61"},
		{"GET / HTTP/1.2\r\n" + h + "\r\n", "505 version_unsupported", ""},
		{"GET / HTTP/2.0\r\n" + h + "\r\n", "505 version_unsupported", ""},
		{"GET / HTTP/11\r\n" + h + "\r\n", "400 line_invalid", ""},
		{"GET /\r\n\r\n", "400 line_invalid", "HTTP/0.9"},
		{"get / HTTP/1.1\r\n" + h + "\r\n", "400 method_invalid", "hostile 70"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 version_unsupported", "hostile 65"},
		{"PRI / HTTP/1.1\r\n" + h + "\r\n", "400 method_invalid", "hostile 65"},
		{"GET ftp://a.example/ HTTP/1.1\r\n" + h + "\r\n", "400 scheme_invalid", "hostile 71"},
		{"GET file:///etc/passwd HTTP/1.1\r\n" + h + "\r\n", "400 scheme_invalid", "hostile 71"},
		{"GET unix:///run/docker.sock HTTP/1.1\r\n" + h + "\r\n", "400 scheme_invalid", "hostile 30"},
		{"GET /a#b HTTP/1.1\r\n" + h + "\r\n", "400 target_invalid", "hostile 72"},
		{"GET * HTTP/1.1\r\n" + h + "\r\n", "400 target_invalid", "hostile 72"},
		{"OPTIONS * HTTP/1.1\r\n" + h + "\r\n", `200 OPTIONS * a.example ""`, "hostile 72"},
		{"GET  HTTP/1.1\r\n" + h + "\r\n", "400 line_invalid", "hostile 72: empty"},
		{"GET /a\\b HTTP/1.1\r\n" + h + "\r\n", "400 target_invalid", "hostile 76"},
		{"GET /a%%b HTTP/1.1\r\n" + h + "\r\n", "400 target_invalid", "hostile 356"},
		{"GET /a%2 HTTP/1.1\r\n" + h + "\r\n", "400 target_invalid", "hostile 356"},
		{"GET http://a.example/%zz HTTP/1.1\r\n" + h + "\r\n", "400 target_invalid", "hostile 356"},
		{"GET /a?\\b HTTP/1.1\r\n" + h + "\r\n", `200 GET /a?\b a.example ""`, "browsers do not encode it in a query"},
		{"GET / HTTP/1.1\r\n" + h + "Authorization: a\r\nauthorization: b\r\n\r\n", "400 header_duplicate", "hostile 80"},
		{"GET / HTTP/1.1\r\n" + h + "Cookie: " + big + "\r\n\r\n", "431 headers_too_large", "hostile 69"},
		{"GET /" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\n" + h + "\r\n", "414 target_too_long", "hostile 69"},
		{"GET /" + big + " HTTP/1.1\r\n" + h + "\r\n", "414 target_too_long", "hostile 69"},
		{"GET / HTTP/1.1\r\n" + h + strings.Repeat("A: b\r\n", 250) + "\r\n", "431 headers_too_many", "hostile 69"},
		{"GET / HTTP/1.1\r\n" + h + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\nGET /2 HTTP/1.1\r\n" + h + "\r\n", `200 GET / a.example ""|200 GET /2 a.example ""`, "hostile 65: h2c is no upgrade"},
		{"GET / HTTP/1.1\r\n" + h + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\nGET /2 HTTP/1.1\r\n" + h + "\r\n", `200 GET / a.example ""`, "hostile 62: nothing behind an upgrade is a request"},
		{"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\nGET /2 HTTP/1.1\r\n" + h + "\r\n", `200 CONNECT a.example:443 a.example:443 ""`, "hostile 62"},
		{"POST / HTTP/1.1\r\n" + h + "Content-Length: 10\r\n\r\nhello", "", "cut"},
	} {
		if got := strings.Join(talk(t, addr, c.send), "|"); got != c.want {
			t.Errorf("%.80q\n got %q\nwant %q (%s)", c.send, got, c.want, c.remark)
		}
	}
}

// Bytes may come in any pieces.
func TestPieces(t *testing.T) {
	addr := serve(t)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	msg := "POST /a HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /b HTTP/1.1\r\n" + h + "\r\n"
	go func() {
		for i := range msg {
			_, _ = c.Write([]byte{msg[i]})
		}
	}()
	br := bufio.NewReader(c)
	for _, want := range []string{`POST /a a.example "abcde"`, `GET /b a.example ""`} {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != want {
			t.Errorf("got %q, want %q", b, want)
		}
	}
}

// hostile 62: what a client sends behind CONNECT before it was answered is not lost.
func TestEarlyBytes(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		_, _ = io.WriteString(a, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\nEARLY\r\n\r\n\x00")
		_ = a.Close()
	}()
	c := NewConn(b, Limits{})
	br := bufio.NewReader(c)
	if _, err := http.ReadRequest(br); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(br); string(got) != "EARLY\r\n\r\n\x00" {
		t.Errorf("%q", got)
	}
}

// hostile 73, 74
func TestUpstream(t *testing.T) {
	for _, c := range []struct {
		send   string
		ok     bool
		remark string
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true, ""},
		{"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", true, "bare LF"},
		{"HTTP/1.0 200\r\n\r\nhi", true, ""},
		{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true, ""},
		{"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nhi", true, "obs-fold is old, not hostile"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false, "CL and TE"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", false, "two lengths"},
		{"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", false, ""},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", false, "unsolicited"},
		{"HTTP/1.1 099 No\r\n\r\n", false, ""},
		{"HTTP/1.1 999 No\r\n\r\n", false, ""},
		{"HTTP/1.1 20 No\r\n\r\n", false, ""},
		{"HTTP/2.0 200 OK\r\n\r\n", false, ""},
		{"SSH-2.0-x\r\n\r\n", false, ""},
		{"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c\r\n\r\n", false, "bare CR"},
		{"HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n", false, "NUL"},
		{strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", 20) + "HTTP/1.1 200 OK\r\n\r\n", false, "1xx without end"},
		{"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 300<<10), false, "a head without end"},
	} {
		a, b := net.Pipe()
		go func() {
			_, _ = io.WriteString(a, c.send)
			_ = a.Close()
		}()
		u := NewUpstream(b)
		u.Begin(false)
		got, err := io.ReadAll(u)
		if c.ok && (string(got) != c.send || err != nil) || !c.ok && err == nil {
			t.Errorf("%.60q: %q %v (%s)", c.send, got, err, c.remark)
		}
		_ = b.Close()
	}
	a, b := net.Pipe()
	go func() { _, _ = io.WriteString(a, "HTTP/1.1 200 OK\r\n\r\n"); _ = a.Close() }()
	if _, err := io.ReadAll(NewUpstream(b)); err == nil {
		t.Error("an answer to nothing was taken")
	}
}

// What passes is read by net/http as the strict reader read it: as many requests,
// and no byte more or less.
func FuzzConn(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\n" + h + "\r\n",
		"POST / HTTP/1.1\r\n" + h + "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" + h + "\r\n",
		"POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.0\r\n" + h + "\r\n",
		"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nx",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c := NewConn(&static{r: bytes.NewReader(in)}, Limits{})
		out, _ := io.ReadAll(c)
		n := len(out)
		if c.refused.Load() != nil {
			n = bytes.LastIndex(out, []byte("GET /"+c.refused.Load().nonce))
		}
		if !bytes.HasPrefix(in, out[:n]) {
			t.Fatalf("%q became %q", in, out)
		}
		br := bufio.NewReader(bytes.NewReader(out))
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				if n > 0 && br.Buffered() > 0 && c.err == nil && !bytes.Contains(out[:n], []byte("PRI")) {
					t.Fatalf("net/http does not read %q: %v", out, err)
				}
				return
			}
			if r.Method == "CONNECT" || r.Header.Get("Upgrade") != "" {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
	})
}

type static struct {
	net.Conn
	r *bytes.Reader
}

func (s *static) Read(p []byte) (int, error) { return s.r.Read(p) }

func BenchmarkConn(b *testing.B) {
	msg := []byte("GET /a/b?c=d HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nX-Request-Id: 0123456789\r\n\r\n")
	r := bytes.NewReader(nil)
	c := NewConn(&static{r: r}, Limits{})
	p := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(msg)
		if n, err := c.Read(p); n != len(msg) || err != nil {
			b.Fatal(n, err)
		}
	}
}
