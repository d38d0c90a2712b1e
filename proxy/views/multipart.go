package views

import (
	"bytes"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"sallyport/policy"
)

// maxParts and maxFields bound a form of parts and the head of one.
const (
	maxParts  = 256
	maxFields = 16
)

// boundary is that of RFC 2046, 5.1.1, without characters that want quotes.
var boundary = regexp.MustCompile(`^[0-9A-Za-z'+_.=-]{1,70}$`)

// parts reads a form of parts (RFC 7578), or returns nil where servers may find
// other parts in it: by line ends, by what stands before, behind or within, by names
// that are said twice or escaped, by codings.
func parts(mark string, b []byte) []policy.Part {
	if !boundary.MatchString(mark) {
		return nil
	}
	rest, ok := bytes.CutPrefix(b, []byte("--"+mark))
	if !ok {
		return nil
	}
	out := []policy.Part{}
	for {
		if end, ok := bytes.CutPrefix(rest, []byte("--")); ok {
			if len(end) > 0 && string(end) != "\r\n" || !plain(texts(out, "_charset_")) {
				return nil
			}
			return out
		}
		rest, ok = bytes.CutPrefix(rest, []byte("\r\n"))
		if !ok || len(out) == maxParts {
			return nil
		}
		var one []byte
		if one, rest, ok = bytes.Cut(rest, []byte("\r\n--"+mark)); !ok || bytes.Contains(one, []byte("\n--"+mark)) || bytes.Contains(one, []byte("\r--"+mark)) {
			return nil
		}
		p, ok := part(one)
		if !ok {
			return nil
		}
		out = append(out, p)
	}
}

// texts are the values of fields of a name.
func texts(ps []policy.Part, name string) (out []string) {
	for _, p := range ps {
		if p.Name == name && p.Value != nil {
			out = append(out, *p.Value)
		}
	}
	return out
}

func part(b []byte) (p policy.Part, ok bool) {
	head, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return p, false
	}
	fields, ok := heads(string(head))
	if !ok {
		return p, false
	}
	if p, ok = disposition(fields["content-disposition"]); !ok {
		return p, false
	}
	switch strings.ToLower(fields["content-transfer-encoding"]) {
	case "", "binary", "8bit", "7bit":
	default:
		return p, false
	}
	p.ContentType, p.Size = fields["content-type"], int64(len(body))
	if p.IsFile {
		return p, true
	}
	if p.ContentType != "" {
		if _, _, ok := typeOf(p.ContentType); !ok {
			return p, false
		}
	}
	if !utf8.Valid(body) { // a field, whatever it says that it is
		return p, false
	}
	s := string(body)
	p.Value = &s
	return p, true
}

// heads are the fields of a part by their names in lower case.
func heads(head string) (map[string]string, bool) {
	out := map[string]string{}
	for line := range strings.SplitSeq(head, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		name = strings.ToLower(name)
		if _, twice := out[name]; !ok || twice || len(out) == maxFields || !utf8.ValidString(value) || strings.ContainsFunc(value, control) || strings.ContainsFunc(name, notToken) || name == "" {
			return nil, false
		}
		out[name] = strings.TrimSpace(value)
	}
	return out, true
}

func control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func notToken(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
}

// parameter is one of Content-Disposition: without escapes, which browsers do not
// write and servers undo or leave.
var parameter = regexp.MustCompile(`^;[ \t]*(name|filename|filename\*)=(?:"([^"\\]*)"|([0-9A-Za-z!#$%&'*+.^_|~-]+))[ \t]*`)

func disposition(s string) (p policy.Part, ok bool) {
	rest, ok := strings.CutPrefix(s, "form-data")
	if !ok {
		return p, false
	}
	said := map[string]string{}
	for rest = strings.TrimLeft(rest, " \t"); rest != ""; {
		m := parameter.FindStringSubmatch(rest)
		if m == nil {
			return p, false
		}
		if _, twice := said[m[1]]; twice {
			return p, false
		}
		said[m[1]], rest = m[2]+m[3], rest[len(m[0]):]
	}
	name, named := said["name"]
	p.Name = name
	p.Filename, p.IsFile = said["filename"]
	if ext, both := said["filename*"]; both {
		decoded, ok := extended(ext)
		if !ok || p.IsFile && p.Filename != decoded {
			return p, false
		}
		p.Filename, p.IsFile = decoded, true
	}
	// A part whose file has no name is a field to some (hostile 82).
	return p, named && name != "" && !(p.IsFile && p.Filename == "")
}

// extended reads a value of RFC 8187 in UTF-8.
func extended(s string) (string, bool) {
	set, rest, ok := strings.Cut(s, "'")
	_, value, ok2 := strings.Cut(rest, "'")
	if !ok || !ok2 || !strings.EqualFold(set, "utf-8") {
		return "", false
	}
	out, err := url.PathUnescape(value)
	return out, err == nil && utf8.ValidString(out) && !strings.ContainsFunc(out, control)
}
