package credentials

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
)

// A pattern is one form in which a secret can come back.
type pattern struct {
	text    []byte
	name    string
	version string
	// What may stand behind it and belongs to it, in base64: a character that carries
	// bits of its end, and padding.
	drops, pads int
}

// patternsOf returns the forms of each secret of a value: as it is, as it was put on the
// request, and as servers encode what they echo.
func patternsOf(b *Binding, v Value) []pattern {
	var out []pattern
	drops, pads := 0, 0
	ends := func(n int) { // of a form of n bytes, without its last character if that is not full
		drops, pads = min(n%3, 1), (3-n%3)%3
	}
	add := func(t []byte) {
		if len(t) >= minSecret && !slices.ContainsFunc(out, func(p pattern) bool { return bytes.Equal(p.text, t) }) {
			out = append(out, pattern{text: bytes.Clone(t), name: b.Name, drops: drops, pads: pads})
		}
	}
	one := func(v, pair []byte) {
		forms := [][]byte{v}
		if pair != nil {
			add([]byte(base64.StdEncoding.EncodeToString(pair)))
			pads = 2
			add([]byte(base64.RawStdEncoding.EncodeToString(pair)))
			pads = 0
			add([]byte(base64.URLEncoding.EncodeToString(pair)))
			forms = append(forms, pair)
		}
		add(v)
		add(bytes.ToLower(v))
		add(bytes.ToUpper(v))
		for _, f := range forms {
			for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				for off := range 3 {
					ends(len(f) + off)
					add(shifted(enc, f, off))
				}
			}
		}
		drops, pads = 0, 0
		add([]byte(hex.EncodeToString(v)))
		add([]byte(strings.ToUpper(hex.EncodeToString(v))))
		for _, t := range []string{url.QueryEscape(string(v)), url.PathEscape(string(v)), percent(v, "%02X"), percent(v, "%02x"), strings.ToLower(url.QueryEscape(string(v)))} {
			if strings.ToLower(t) != t || t != strings.ToLower(string(v)) {
				add([]byte(t))
			}
		}
		if j, err := json.Marshal(string(v)); err == nil {
			add(j[1 : len(j)-1])
			add(bytes.ReplaceAll(j[1:len(j)-1], []byte("/"), []byte(`\/`)))
		}
		var buf bytes.Buffer
		e := json.NewEncoder(&buf)
		e.SetEscapeHTML(false)
		if e.Encode(string(v)) == nil {
			t := bytes.TrimSpace(buf.Bytes())
			add(t[1 : len(t)-1])
		}
		add([]byte(html.EscapeString(string(v))))
		for _, format := range []string{`\u%04x`, `\u%04X`, "&#%d;", "&#x%x;", "&#x%X;", "%%25%02x", "%%25%02X"} {
			add([]byte(escaped(v, format, "")))
			add([]byte(escaped(v, format, "-_.~"))) // what most leave as it is
		}
	}
	pair := b.Place.placer().rendered(v)
	v.each(func(s Secret) {
		s.use(func(b []byte) { one(b, pair) })
		pair = nil
	})
	return out
}

// shifted is what base64 makes of a secret that begins off bytes into a group,
// without the ends that depend on what stands around it.
func shifted(enc *base64.Encoding, v []byte, off int) []byte {
	t := enc.EncodeToString(append(make([]byte, off), v...))
	start := []int{0, 2, 3}[off]
	end := len(t)
	if (len(v)+off)%3 != 0 {
		end-- // its last character carries bits of what follows
	}
	if start >= end {
		return nil
	}
	return []byte(t[start:end])
}

func percent(v []byte, format string) string { return escaped(v, "%%"+format, "-_.~") }

// escaped writes all but letters, digits and the bytes of plain in a format.
func escaped(v []byte, format, plain string) string {
	var b strings.Builder
	for _, c := range v {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, format, c)
		}
	}
	return b.String()
}

// mask stands in the place of each byte of what was found, where a length must
// not change.
var mask = []byte("*")

// marker is what stands in the place of what was found.
func marker(name string) []byte { return []byte("[REDACTED:" + name + "]") }
