package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sallyport/dest"
)

// A reading is what a server makes of a head.
type reading struct {
	method, target, host, length, coding string
	fields                               int
	trailer                              bool // is announced
}

// lenient reads a head as servers do that forgive most: any end of line, space
// around names, lines that go on. Of what stands twice, the first or the last
// counts.
func lenient(head string, last bool) (r reading) {
	head = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(head)
	for strings.HasPrefix(head, "\n") {
		head = head[1:]
	}
	head, _, _ = strings.Cut(head, "\n\n")
	head = strings.NewReplacer("\n ", " ", "\n\t", " ").Replace(head)
	lines := strings.Split(head, "\n")
	words := strings.FieldsFunc(lines[0], func(c rune) bool { return strings.ContainsRune(" \t\v\f\x00", c) })
	if len(words) > 1 {
		r.method, r.target = strings.ToUpper(words[0]), words[1]
	}
	take := func(to *string, v string) {
		if *to == "" || last {
			*to = v
		}
	}
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		value = strings.Trim(value, " \t\v\f\x00")
		r.fields++
		switch strings.ToLower(strings.Trim(name, " \t\v\f\x00")) {
		case "trailer":
			r.trailer = true
		case "host":
			take(&r.host, value)
		case "content-length":
			take(&r.length, value)
		case "transfer-encoding":
			take(&r.coding, strings.ToLower(value))
		}
	}
	return r
}

// A head that is taken is one message to everybody: net/http reads it, and readers
// that forgive what it does not read the same method, target, host and length.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\n" + h + "\r\n", "POST /a?b HTTP/1.1\r\n" + h + "Content-Length: 5\r\n\r\n", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
		"GET http://a.example/ HTTP/1.1\r\n" + h + "\r\n", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "OPTIONS * HTTP/1.1\r\n" + h + "\r\n", "GET / HTTP/1.0\r\n" + h + "X: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\n Host: b\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nA: b\n\n\r\n\r\n", "POST / HTTP/1.1\r\n" + h + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding:\r\n chunked\r\n\r\n", "GET / HTTP/1.1\r\n" + h + "A: b\rContent-Length: 5\r\n\r\n", "GET / HTTP/1.1\r\n" + h + "Content_Length: 5\r\n\r\n", "GET /\x00 HTTP/1.1\r\n" + h + "\r\n", "GET\v/ HTTP/1.1\r\n" + h + "\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		end := bytes.Index(in, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		in = in[:end+4]
		got, e := parseHead(in, Limits{}.or())
		if e != nil {
			if e.Code == "" || e.Public == "" || e.Status < 400 {
				t.Fatalf("%q is refused without a reason: %+v", in, e)
			}
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(in), strings.NewReader(strings.Repeat("x", 9)))))
		if err != nil {
			t.Fatalf("%q is taken, and net/http says %v", in, err)
		}
		first, last := lenient(string(in), false), lenient(string(in), true)
		if first != last {
			t.Fatalf("%q is read as %+v and as %+v", in, first, last)
		}
		if first.method != r.Method || first.target != r.RequestURI || (r.Method == "CONNECT") != got.connect {
			t.Fatalf("%q is %q %q to net/http, and %+v to others", in, r.Method, r.RequestURI, first)
		}
		n := len(r.TransferEncoding)
		for k, vs := range r.Header {
			if n += len(vs); strings.ContainsAny(k, " \t\r\n:\x00") || slices.ContainsFunc(vs, func(v string) bool { return strings.ContainsAny(v, "\r\n\x00") }) {
				t.Fatalf("%q has the field %q: %q", in, k, vs)
			}
		}
		if first.host != "" {
			n++
		}
		if !first.trailer && n != first.fields { // net/http takes that field apart
			t.Fatalf("%q has %d fields to net/http, and %d to others", in, n, first.fields)
		}
		want := int64(0)
		switch {
		case got.chunked:
			want = -1
		case got.length > 0:
			want = got.length
		}
		if r.ContentLength != want || (first.coding == "chunked") != got.chunked || first.coding != "" && first.length != "" || first.length != "" && strings.TrimLeft(first.length, "0123456789") != "" {
			t.Fatalf("%q has the length %d to net/http, %+v here, and %+v to others", in, r.ContentLength, got, first)
		}
		if host := r.Host; !got.connect && host != "" {
			port := uint16(80)
			if r.URL.Scheme == "https" {
				port = 443
			}
			a, err1 := dest.ParseAuthority(host, port)
			b, err2 := dest.ParseAuthority(first.host, port)
			if err1 != nil || err2 != nil || a != b {
				t.Fatalf("%q is for %q to net/http, and for %q to others", in, host, first.host)
			}
		}
	})
}
