package canon

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxSegments and maxParams bound what policy is given to look at.
const (
	maxSegments = 512
	maxParams   = 1000
)

// Path returns what a raw, escaped path means: decoded, except %2F, so that
// segments stay what they are; and its segments, decoded whole. The raw path is
// what is forwarded, byte for byte, so a path that servers read differently is
// an error: dot segments, backslashes and control characters in any encoding,
// bytes that were encoded twice, and what is not UTF-8.
func Path(raw string) (path string, segments []string, err error) {
	if !strings.HasPrefix(raw, "/") {
		return "", nil, invalid("path_invalid", "the path does not begin with a slash")
	}
	if strings.Count(raw, "/") > maxSegments {
		return "", nil, invalid("path_invalid", "the path has too many segments")
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '%':
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return "", nil, invalid("path_invalid", "the path has a percent sign that encodes nothing")
			}
			d := unhex(raw[i+1])<<4 | unhex(raw[i+2])
			switch {
			case d < ' ' || d == 0x7f:
				return "", nil, invalid("path_invalid", "the path encodes a control character")
			case d == '\\':
				return "", nil, invalid("path_invalid", "the path encodes a backslash")
			}
			if d == '/' {
				b.WriteString("\x00") // for now: no other can be there
			} else {
				b.WriteByte(d)
			}
			i += 2
		case c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '?':
			return "", nil, invalid("path_invalid", "the path has a character that must be encoded")
		default:
			b.WriteByte(c)
		}
	}
	path = b.String()
	for i := range len(path) - 2 {
		if path[i] == '%' && isHex(path[i+1]) && isHex(path[i+2]) {
			return "", nil, invalid("path_invalid", "the path is encoded twice")
		}
	}
	path = strings.ReplaceAll(path, "\x00", "%2F")
	if !utf8.ValidString(path) {
		return "", nil, invalid("path_invalid", "the path does not decode to UTF-8")
	}
	for s := range strings.SplitSeq(path[1:], "/") {
		s = strings.ReplaceAll(s, "%2F", "/")
		for part := range strings.SplitSeq(s, "/") {
			if p, _, _ := strings.Cut(part, ";"); p == "." || p == ".." {
				return "", nil, invalid("path_invalid", "the path has a dot segment")
			}
		}
		segments = append(segments, s)
	}
	return path, segments, nil
}

// Query reads a raw query as all servers would: & between parameters, + or %20
// for a space. A semicolon, which some take for &, is an error.
func Query(raw string) (map[string][]string, error) {
	if raw == "" {
		return nil, nil
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return nil, invalid("query_invalid", "the query has a character that must be encoded")
		}
	}
	if strings.Contains(raw, ";") {
		return nil, invalid("query_invalid", "the query has a semicolon, which some servers take for an ampersand: write it as %3B")
	}
	if strings.Count(raw, "&") >= maxParams {
		return nil, invalid("query_invalid", "the query has too many parameters")
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("query_invalid", "the query has a percent sign that encodes nothing")
	}
	for k, vs := range q {
		if !plain(k) {
			return nil, invalid("query_invalid", "a parameter's name is not plain UTF-8 text")
		}
		for _, v := range vs {
			if !utf8.ValidString(v) {
				return nil, invalid("query_invalid", "a parameter's value is not UTF-8")
			}
		}
	}
	return q, nil
}

func plain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
