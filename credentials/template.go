package credentials

import (
	"fmt"
	"strings"
)

// A template is text with parts of a value in it: {secret}, {user} and whatever else
// the source gives. It comes from the configuration alone (hostile 116).
type template []piece

type piece struct{ text, part string }

// parseTemplate reads one. "" is {secret}.
func parseTemplate(s string) (template, error) {
	if s == "" {
		s = "{secret}"
	}
	var out template
	parts := 0
	for s != "" {
		text, rest, open := strings.Cut(s, "{")
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '}' }) {
			return nil, fmt.Errorf("a format is text with parts such as {secret}, without control characters or other braces")
		}
		if text != "" {
			out = append(out, piece{text: text})
		}
		if !open {
			break
		}
		part, after, closed := strings.Cut(rest, "}")
		if !closed || part == "" || strings.ContainsFunc(part, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }) {
			return nil, fmt.Errorf("a part of a format is written {secret}, {user} or {other_name}")
		}
		out = append(out, piece{part: part})
		parts++
		s = after
	}
	if parts == 0 {
		return nil, fmt.Errorf("a format without {secret} places nothing")
	}
	return out, nil
}

// render puts the parts of a value in.
func (t template) render(v Value) (string, error) {
	var b strings.Builder
	for _, p := range t {
		if p.part == "" {
			b.WriteString(p.text)
			continue
		}
		if !v.part(p.part, func(s []byte) { b.Write(s) }) {
			return "", fmt.Errorf("the source gives no %s", p.part)
		}
	}
	return b.String(), nil
}

// part calls f with a part of a value, and reports whether there is one.
func (v Value) part(name string, f func([]byte)) bool {
	if name == "secret" {
		v.Secret.use(f)
		return v.Secret.v != nil
	}
	if s, ok := v.Others[name]; ok {
		s.use(f)
		return true
	}
	s, ok := v.Public[name]
	f([]byte(s))
	return ok
}
