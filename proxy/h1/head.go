package h1

import (
	"bytes"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"sallyport/dest"
)

// A head is what framing needs to know of a request head.
type head struct {
	connect bool
	upgrade bool // to anything but h2c, which is never switched to
	chunked bool
	length  int64
}

// parseHead checks a whole request head, which ends in an empty line.
func parseHead(b []byte, l Limits) (head, *Error) {
	var h head
	line, rest, _ := bytes.Cut(b, []byte("\r\n"))
	if err := checkBytes(b); err != nil {
		return h, err
	}
	method, target, minor, err := requestLine(line, l)
	if err != nil {
		return h, err
	}
	f, err := readFields(rest, l)
	if err != nil {
		return h, err
	}
	if f.host == nil && method == "CONNECT" && minor == 0 { // its target says all, and older clients say no more
		host := []byte(target)
		f.host = &host
	}
	if f.host == nil {
		return h, bad("host_missing", "the request does not say which host it is for")
	}
	if err := checkTarget(method, target, string(*f.host)); err != nil {
		return h, err
	}
	h.connect = method == "CONNECT"
	h.upgrade = f.upgrade
	switch {
	case f.te != nil && minor == 0:
		return h, bad("framing_invalid", "HTTP/1.0 has no transfer coding")
	case f.te != nil && f.cl != nil:
		return h, bad("framing_invalid", "the body's length is said twice, by Content-Length and Transfer-Encoding")
	case f.te != nil && !strings.EqualFold(string(*f.te), "chunked"):
		return h, bad("framing_invalid", "the transfer coding is not chunked")
	case f.te != nil:
		h.chunked = true
	case f.cl != nil:
		n, ok := length(*f.cl)
		if !ok {
			return h, bad("framing_invalid", "Content-Length is not a number")
		}
		h.length = n
	}
	if h.connect && (f.te != nil || f.cl != nil) {
		return h, bad("framing_invalid", "CONNECT has no body")
	}
	if h.connect && h.upgrade {
		return h, bad("framing_invalid", "CONNECT cannot upgrade")
	}
	return h, nil
}

// checkBytes refuses line ends that are not CR LF, and NUL anywhere.
func checkBytes(b []byte) *Error {
	for i, c := range b {
		switch {
		case c == 0:
			return bad("header_invalid", "the request has a NUL byte")
		case c == '\n' && (i == 0 || b[i-1] != '\r'):
			return bad("line_invalid", "a line of the request ends in LF without CR")
		case c == '\r' && (i+1 >= len(b) || b[i+1] != '\n'):
			return bad("line_invalid", "a line of the request has a CR inside")
		}
	}
	return nil
}

func requestLine(line []byte, l Limits) (method, target string, minor int, err *Error) {
	m, rest, ok := bytes.Cut(line, []byte(" "))
	t, v, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || len(m) == 0 || len(t) == 0 {
		return "", "", 0, bad("line_invalid", "the request line is not METHOD TARGET VERSION")
	}
	switch {
	case string(v) == "HTTP/1.1":
		minor = 1
	case string(v) == "HTTP/1.0":
	case len(v) == 8 && string(v[:5]) == "HTTP/" && v[6] == '.' && digit(v[5]) && digit(v[7]):
		e := bad("version_unsupported", "only HTTP/1.0 and HTTP/1.1 are read here")
		e.Status = http.StatusHTTPVersionNotSupported
		return "", "", 0, e
	default:
		return "", "", 0, bad("line_invalid", "the request line does not end in a version")
	}
	for i, c := range m {
		if !(c >= 'A' && c <= 'Z' || i > 0 && (digit(c) || c == '-' || c == '_')) || i >= 24 {
			return "", "", 0, bad("method_invalid", "the method is not one in capital letters")
		}
	}
	if string(m) == "PRI" {
		return "", "", 0, bad("method_invalid", "HTTP/2 has no place in an HTTP/1 connection")
	}
	if len(t) > l.Target {
		e := bad("target_too_long", "the request target is too long")
		e.Status = http.StatusRequestURITooLong
		return "", "", 0, e
	}
	query := false
	for i, c := range t {
		query = query || c == '?'
		if c == '%' && !query && !escape(t[i:]) { // net/http would answer this by itself, unrecorded
			return "", "", 0, bad("target_invalid", "the request target has a percent sign that encodes nothing")
		}
		if c <= ' ' || c >= 0x7f || c == '#' || c == '\\' && !query {
			return "", "", 0, bad("target_invalid", "the request target has a character that must be encoded")
		}
	}
	return string(m), string(t), minor, nil
}

// escape reports whether bytes begin with a percent sign and two hexadecimal digits.
func escape(b []byte) bool {
	hex := func(c byte) bool { return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }
	return len(b) > 2 && hex(b[1]) && hex(b[2])
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// fields are those that decide what a message is.
type fields struct {
	host, te, cl *[]byte
	upgrade      bool
}

// once are the fields that may not stand twice (hostile 80).
var once = []string{"host", "content-length", "transfer-encoding", "content-type", "authorization", "proxy-authorization"}

func readFields(b []byte, l Limits) (fields, *Error) {
	var f fields
	var seen [6]bool
	var upgrade []byte
	for n := 0; ; n++ {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok || len(line) == 0 {
			break
		}
		if n >= l.Headers {
			e := bad("headers_too_many", "the request has too many header fields")
			e.Status = http.StatusRequestHeaderFieldsTooLarge
			return f, e
		}
		b = rest
		if line[0] == ' ' || line[0] == '\t' {
			return f, bad("header_invalid", "a header field is folded over lines")
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !token(name) {
			return f, bad("header_invalid", "a header field's name has a character that names do not have")
		}
		value = bytes.Trim(value, " \t")
		for _, c := range value {
			if c < ' ' && c != '\t' || c == 0x7f {
				return f, bad("header_invalid", "a header field's value has a control character")
			}
		}
		if len(name) > 19 {
			continue
		}
		var low [19]byte
		k := string(bytesToLower(low[:0], name))
		if i := slices.Index(once, k); i >= 0 {
			if seen[i] {
				return f, bad("header_duplicate", once[i]+" stands more than once")
			}
			seen[i] = true
		}
		switch k {
		case "host":
			v := value
			f.host = &v
		case "content-length":
			v := value
			f.cl = &v
		case "transfer-encoding":
			v := value
			f.te = &v
		case "upgrade":
			upgrade = value
		}
	}
	f.upgrade = len(upgrade) > 0 && !strings.EqualFold(string(upgrade), "h2c")
	return f, nil
}

func bytesToLower(dst, b []byte) []byte {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func token(b []byte) bool {
	for _, c := range b {
		if !httpguts.IsTokenRune(rune(c)) {
			return false
		}
	}
	return len(b) > 0
}

func length(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 || len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if !digit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// checkTarget holds the target against the method and against Host: RFC 9112, 3.2.
func checkTarget(method, target, host string) *Error {
	switch {
	case method == "CONNECT":
		a, err := dest.ParseAddr(target)
		if err != nil {
			return bad("authority_invalid", "CONNECT needs host:port").operator("%v", err)
		}
		if h, err := dest.ParseAuthority(host, a.Port()); err != nil || h != a {
			return bad("authority_contradiction", "Host and the target of CONNECT differ")
		}
		return nil
	case target == "*":
		if method != "OPTIONS" {
			return bad("target_invalid", "only OPTIONS is about the server itself")
		}
	case target[0] == '/':
	default:
		scheme, rest, ok := strings.Cut(target, "://")
		port := uint16(80)
		if strings.EqualFold(scheme, "https") {
			port = 443
		} else if !strings.EqualFold(scheme, "http") || !ok {
			return bad("scheme_invalid", "the target is neither a path nor an http or https URL")
		}
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			rest = rest[:i]
		}
		a, err := dest.ParseAuthority(rest, port)
		if err != nil {
			return bad("host_invalid", "the target's host is not a host name or address").operator("%v", err)
		}
		if h, err := dest.ParseAuthority(host, port); err != nil || h != a {
			return bad("authority_contradiction", "Host and the target's host differ")
		}
		return nil
	}
	if _, err := dest.ParseAuthority(host, 80); err != nil {
		return bad("host_invalid", "Host is not a host name or address").operator("%v", err)
	}
	return nil
}
