package proxy_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sallyport/origin"
)

// An h2Client writes frames that no library would.
type h2Client struct {
	t  *testing.T
	c  net.Conn
	fr *http2.Framer
	id uint32
}

// h2 opens one inside TLS, or without it.
func (r *rig) h2(t *testing.T, clear bool) *h2Client {
	t.Helper()
	if clear {
		return newH2Client(t, r.connect(fmt.Sprintf("api.example.com:%d", r.origin.PlainPort)))
	}
	c, err := r.tls("api.example.com", &tls.Config{NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.ConnectionState().NegotiatedProtocol != "h2" {
		t.Fatal("h2 was not agreed on")
	}
	return newH2Client(t, c)
}

func newH2Client(t *testing.T, c net.Conn) *h2Client {
	t.Helper()
	_, _ = io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := fr.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return &h2Client{t: t, c: c, fr: fr, id: 1}
}

// An h2Answer is how a stream ended.
type h2Answer struct {
	status string
	body   string
	reset  bool // the stream, or the whole connection
}

// send writes one request and reads its answer. Fields are "name: value".
func (c *h2Client) send(fields []string, body []byte, trailers []string) h2Answer {
	c.t.Helper()
	id := c.id
	c.id += 2
	block := func(fs []string) []byte {
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		for _, f := range fs {
			i := strings.Index(f[1:], ":") + 1
			_ = e.WriteField(hpack.HeaderField{Name: f[:i], Value: strings.TrimPrefix(f[i+1:], " ")})
		}
		return b.Bytes()
	}
	_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(fields), EndHeaders: true, EndStream: body == nil && trailers == nil})
	if body != nil {
		_ = c.fr.WriteData(id, trailers == nil, body)
	}
	if trailers != nil {
		_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(trailers), EndHeaders: true, EndStream: true})
	}
	var a h2Answer
	for {
		f, err := c.fr.ReadFrame()
		var se http2.StreamError
		if errors.As(err, &se) {
			a.reset = true
			return a
		}
		if err != nil {
			a.reset = true
			return a
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.fr.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == id && a.status == "" {
				a.status = f.PseudoValue("status")
			}
			if f.StreamID == id && f.StreamEnded() {
				return a
			}
		case *http2.DataFrame:
			if f.StreamID == id {
				a.body += string(f.Data())
				if f.StreamEnded() {
					return a
				}
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				a.reset = a.status == "" || f.ErrCode != http2.ErrCodeNo
				return a
			}
		case *http2.GoAwayFrame:
			if f.ErrCode == http2.ErrCodeNo { // streams that were begun go on
				continue
			}
			a.reset = a.status == ""
			return a
		}
	}
}

// hostile 32, 33, 34, 58, 65, 70: what HTTP/2 can say twice, or wrongly, with TLS
// and without.
func TestHTTP2Contradictions(t *testing.T) {
	for scheme, clear := range map[string]bool{"https": false, "http": true} {
		t.Run(scheme, func(t *testing.T) { contradictions(t, scheme, clear) })
	}
}

func contradictions(t *testing.T, scheme string, clear bool) {
	r := newRig(t, rigging{origin: origin.Options{H2C: true}})
	port := r.origin.TLSPort
	if clear {
		port = r.origin.PlainPort
	}
	on := func(host string) string { return fmt.Sprintf("%s:%d", host, port) }
	at := on("api.example.com")
	head := func(method, authority, path string, more ...string) []string {
		return append([]string{":method: " + method, ":scheme: " + scheme, ":authority: " + authority, ":path: " + path}, more...)
	}
	for name, c := range map[string]struct {
		fields   []string
		body     []byte
		trailers []string
		want     string // status, or "reset"
		code     string
	}{
		"host is not :authority":      {fields: head("GET", at, "/", "host: other.example.com"), want: "400", code: "authority_contradiction"},
		"host twice":                  {fields: head("GET", at, "/", "host: "+at, "host: other.example.com"), want: "400"},
		":authority is not SNI":       {fields: head("GET", on("other.example.com"), "/"), want: "421", code: "authority_mismatch"},
		":authority has another port": {fields: head("GET", "api.example.com:1", "/"), want: "421"},
		":authority with a space":     {fields: head("GET", "a b", "/"), want: "400"},
		":authority with userinfo":    {fields: head("GET", "api.example.com@evil.example", "/"), want: "reset"},
		"no :authority, a Host":       {fields: []string{":method: GET", ":scheme: " + scheme, ":path: /", "host: " + on("other.example.com")}, want: "421"},
		"neither":                     {fields: []string{":method: GET", ":scheme: " + scheme, ":path: /"}, want: "400"},
		"an absolute :path":           {fields: head("GET", at, "https://evil.example/x"), want: "400"},
		"a :path that is none":        {fields: head("GET", at, "x"), want: "reset"},
		"a :path with dots":           {fields: head("GET", at, "/a/../b"), want: "400"},
		"*":                           {fields: head("OPTIONS", at, "*"), want: "400"},
		"two lengths":                 {fields: head("POST", at, "/", "content-length: 5", "content-length: 6"), body: []byte("hello"), want: "400"},
		"a length that is none":       {fields: head("POST", at, "/", "content-length: +5"), want: "400", code: "framing_invalid"},
		"a length without a body":     {fields: head("GET", at, "/", "content-length: 5"), want: "400", code: "framing_invalid"},
		"a value with a space behind": {fields: head("GET", at, "/", "x-a: b "), want: "400", code: "header_invalid"},
		"TRACE":                       {fields: head("TRACE", at, "/"), want: "405"},
		"CONNECT":                     {fields: []string{":method: CONNECT", ":authority: evil.example:443"}, want: "405"},
		"extended CONNECT":            {fields: head("CONNECT", at, "/", ":protocol: websocket"), want: "reset"},
		"Connection":                  {fields: head("GET", at, "/", "connection: close"), want: "400"},
		"Transfer-Encoding":           {fields: head("GET", at, "/", "transfer-encoding: chunked"), want: "400"},
		"TE":                          {fields: head("GET", at, "/", "te: gzip"), want: "400"},
		"upper case":                  {fields: head("GET", at, "/", "X-Upper: 1"), want: "reset"},
		"pseudo behind":               {fields: []string{":method: GET", "x-a: 1", ":scheme: " + scheme, ":authority: " + at, ":path: /"}, want: "reset"},
		"pseudo twice":                {fields: head("GET", at, "/", ":path: /b"), want: "reset"},
		"two Authorization":           {fields: head("GET", at, "/", "authorization: a", "authorization: b"), want: "400"},
		"an empty name":               {fields: head("GET", at, "/", "x y: 1"), want: "reset"},
		"a pseudo-field in trailers":  {fields: head("POST", at, "/"), body: []byte("x"), trailers: []string{":path: /b"}, want: "reset"},
		"a credential in trailers":    {fields: head("POST", at, "/", "trailer: authorization"), body: []byte("x"), trailers: []string{"authorization: Bearer mine"}, want: "reset"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(r.origin.Seen())
			a := r.h2(t, clear).send(c.fields, c.body, c.trailers)
			got := a.status
			if a.reset {
				got = "reset"
			}
			if got != c.want || !strings.Contains(a.body, c.code) {
				t.Errorf("%+v, want %s %s", a, c.want, c.code)
			}
			if seen := r.origin.Seen(); len(seen) > before && !seen[before].Cut {
				t.Errorf("the origin saw %+v", seen[before])
			}
		})
	}
	// A length that is wrong is seen only while the body is on its way: the origin
	// must not take it for whole.
	for _, body := range []string{"hell", "hello!"} {
		if a := r.h2(t, clear).send(head("POST", at, "/short", "content-length: 5"), []byte(body), nil); a.status == "200" {
			t.Errorf("%q: %+v", body, a)
		}
		for _, s := range r.origin.Seen() {
			if s.Body == body && !s.Cut {
				t.Errorf("the origin took %q for a whole body", body)
			}
		}
	}
	// :scheme is not told by net/http, and nothing depends on it: the connection's counts.
	other := map[string]string{"http": "https", "https": "http"}[scheme]
	if a := r.h2(t, clear).send([]string{":method: GET", ":scheme: " + other, ":authority: " + at, ":path: /scheme"}, nil, nil); a.status != "200" || len(r.found(map[string]string{"url.path": "/scheme", "url.scheme": scheme})) == 0 {
		t.Errorf(":scheme: %+v", a)
	}
	if a := r.h2(t, clear).send(head("POST", at, "/trailers"), []byte("x"), []string{"x-sum: 1"}); a.status != "200" {
		t.Errorf("trailers: %+v", a)
	}
	seen := r.origin.Seen()
	if len(seen) == 0 || (seen[len(seen)-1].Header.Get("Authorization") == "Bearer "+secret) == clear || seen[len(seen)-1].Proto != "HTTP/2.0" {
		t.Errorf("the origin saw %+v", seen)
	}
}
