package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sallyport/proxy"
)

// serving accepts connections, over TLS when there is a configuration, and has each
// served until the test ends.
func serving(t *testing.T, cfg *tls.Config, serve func(net.Conn)) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	port = l.Addr().(*net.TCPAddr).Port
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go serve(c)
		}
	}()
	return port
}

// A framed is an HTTP/2 server that does what a test says, frame by frame.
type framed struct {
	net.Conn
	*http2.Framer
	out bytes.Buffer
	enc *hpack.Encoder
}

// speak takes a client's preface and answers with these settings.
func speak(c net.Conn, settings ...http2.Setting) (*framed, bool) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return nil, false
	}
	f := &framed{Conn: c, Framer: http2.NewFramer(c, c)}
	f.enc = hpack.NewEncoder(&f.out)
	return f, f.WriteSettings(settings...) == nil
}

// request waits for the next request and returns its stream; others of its frames are
// read too, to its end when that is wanted.
func (f *framed) request(whole bool) (uint32, bool) {
	var id uint32
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return 0, false
		}
		switch fr := fr.(type) {
		case *http2.SettingsFrame:
			if !fr.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !fr.IsAck() {
				_ = f.WritePing(true, fr.Data)
			}
		case *http2.HeadersFrame:
			if id = fr.StreamID; !whole || fr.StreamEnded() {
				return id, true
			}
		case *http2.DataFrame:
			if fr.StreamEnded() {
				return id, true
			}
		}
	}
}

// head writes the head of an answer.
func (f *framed) head(id uint32, ends bool, fields ...string) {
	f.out.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.out.Bytes(), EndHeaders: true, EndStream: ends})
}

// hang reads what comes and says nothing, so that a clock has to end it.
func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// hostile 137: an upstream that stops at any stage is given up with the code of that
// stage, and what was answered meanwhile looks cut.
func TestStages(t *testing.T) {
	servers := newCA(t, "servers")
	cert := servers.issue("www.example.com")
	cfg := &tls.Config{Certificates: []tls.Certificate{*cert}}
	cfg2 := &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"h2"}}
	asked := func(c net.Conn) bool {
		r, err := http.ReadRequest(bufio.NewReader(c))
		return err == nil && r != nil
	}
	says := func(answer string) func(net.Conn) {
		return func(c net.Conn) {
			if asked(c) {
				_, _ = io.WriteString(c, answer)
				hang(c)
			}
		}
	}
	spoken := func(then func(*framed, uint32), whole bool) func(net.Conn) {
		return func(c net.Conn) {
			if f, ok := speak(c); ok {
				if id, ok := f.request(whole); ok {
					then(f, id)
					for {
						if _, err := f.ReadFrame(); err != nil {
							return
						}
					}
				}
			}
		}
	}
	head := func(f *framed, id uint32) { f.head(id, false, ":status", "200") }
	none := func(*framed, uint32) {}
	big := strings.Repeat("x", 12<<20)
	const chunked = "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"
	const short = 700 * time.Millisecond
	r := newRig(t, rigging{policy: everything, more: func(c *proxy.Config) {
		c.UpstreamRoots = servers.pool()
		c.Reach = &proxy.Reach{Timeouts: proxy.Timeouts{Resolve: short, Connect: short, TLS: short, Request: short, Response: short, Body: short, Trailer: short / 2}}
	}})
	for name, c := range map[string]struct {
		cfg   *tls.Config
		serve func(net.Conn)
		body  string
		code  string
	}{
		"tls":              {nil, hang, "", "tls_timeout"},
		"request":          {cfg, func(c net.Conn) { _, _ = c.Read(make([]byte, 100)); time.Sleep(20 * time.Second) }, big, "request_timeout"},
		"response":         {cfg, says(""), "", "response_timeout"},
		"half a head":      {cfg, says("HTTP/1.1 200 OK\r\nX-"), "", "response_timeout"},
		"only a hint":      {cfg, says("HTTP/1.1 103 Early Hints\r\n\r\n"), "", "response_timeout"},
		"body":             {cfg, says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi"), "", "body_timeout"},
		"chunk":            {cfg, says(chunked + "9\r\nab"), "", "body_timeout"},
		"trailer":          {cfg, says(chunked + "0\r\n"), "", "trailer_timeout"},
		"half a trailer":   {cfg, says(chunked + "0\r\nX-T: "), "", "trailer_timeout"},
		"request of h2":    {cfg2, spoken(none, false), big, "request_timeout"},
		"response of h2":   {cfg2, spoken(none, true), "", "response_timeout"},
		"body of h2":       {cfg2, spoken(head, true), "", "body_timeout"},
		"preface of h2":    {cfg2, hang, "", "response_timeout"},
		"response to body": {cfg2, spoken(none, true), "hello", "response_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := serving(t, c.cfg, c.serve)
			at := fmt.Sprintf("www.example.com:%d", port)
			conn := tls.Client(r.connect(at), &tls.Config{RootCAs: r.roots, ServerName: "www.example.com"})
			defer conn.Close()
			go fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", at, len(c.body), c.body)
			br := bufio.NewReader(conn)
			resp, err := http.ReadResponse(br, nil)
			for err == nil && resp.StatusCode == http.StatusEarlyHints {
				resp, err = http.ReadResponse(br, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			if cut := c.code == "body_timeout" || c.code == "trailer_timeout"; cut && (resp.StatusCode != 200 || err == nil) {
				t.Errorf("it looks whole: %d %q", resp.StatusCode, b)
			} else if !cut && (resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(b), c.code)) {
				t.Errorf("%d %s %v", resp.StatusCode, b, err)
			}
			if e := r.found(map[string]string{"error.type": c.code, "url.port": fmt.Sprint(port)}); len(e) != 1 {
				t.Errorf("%d records say %s", len(e), c.code)
			}
		})
	}
}
