package credentials

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"sallyport/dest"
)

// A Bind is where a secret may be sent: all that it says has to hold. Host, Port
// and Scheme are required, and never a pattern; the rest narrows it.
type Bind struct {
	Host    dest.Host
	Port    uint16
	Scheme  string            // https
	Methods []string          // of requests, as they are sent; none are all
	Paths   []string          // from the root, by whole segments; one that ends in a slash is what lies below it; none are all
	Labels  map[string]string // that the sandbox has; none are all sandboxes
}

// A Target is where a request goes, as its upstream's certificate will prove it,
// and what it asks.
type Target struct {
	Addr   dest.Addr
	Scheme string
	Method string
	Path   string            // as it is sent, without the query
	Labels map[string]string // of the sandbox; nobody changes them

	Sandbox string // its id
}

// String is the origin.
func (b Bind) String() string { return fmt.Sprintf("%s://%s:%d", b.Scheme, b.Host, b.Port) }

// Describe is all that has to hold, in words.
func (b Bind) Describe() string {
	s := b.String()
	if len(b.Methods) > 0 {
		s = strings.Join(b.Methods, ", ") + " " + s
	}
	if len(b.Paths) > 0 {
		s += " " + strings.Join(b.Paths, ", ")
	}
	if len(b.Labels) > 0 {
		var ls []string
		for k, v := range b.Labels {
			ls = append(ls, k+"="+v)
		}
		slices.Sort(ls)
		s += " for sandboxes with " + strings.Join(ls, ", ")
	}
	return s
}

// at reports whether the secret is one of this origin and this sandbox, whatever
// is asked there.
func (b *Bind) at(t Target) bool {
	return b.Host == t.Addr.Host() && b.Port == t.Addr.Port() && b.Scheme == t.Scheme && b.of(t)
}

func (b *Bind) of(t Target) bool {
	for k, v := range b.Labels {
		if have, ok := t.Labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// covers reports whether a request may have the secret.
func (b *Bind) covers(t Target) bool {
	if !b.at(t) || len(b.Methods) > 0 && !slices.Contains(b.Methods, t.Method) {
		return false
	}
	return len(b.Paths) == 0 || slices.ContainsFunc(b.Paths, func(p string) bool { return under(p, t.Path) })
}

// under reports whether a path is what is bound, or below it. Both are compared
// segment by segment and decoded, except that what decodes to a slash, a dot
// segment or no text at all is below nothing: servers differ about it.
func under(bound, path string) bool {
	want, below := strings.CutSuffix(bound, "/")
	have := strings.Split(path, "/")
	for i, s := range strings.Split(want, "/") {
		if i >= len(have) {
			return false
		}
		d, err := url.PathUnescape(have[i])
		if err != nil || d != s {
			return false
		}
	}
	for i, s := range have {
		d, err := url.PathUnescape(s)
		if err != nil || strings.ContainsAny(d, "/\\\x00;") || d == "." || d == ".." || d == "" && i > 0 && i < len(have)-1 {
			return false
		}
	}
	n := len(strings.Split(want, "/"))
	return below && len(have) > n || !below && len(have) == n
}

func (b *Bind) check() error {
	if b.Host.IsZero() || b.Port == 0 {
		return fmt.Errorf("a destination is required")
	}
	if b.Scheme != "https" {
		return fmt.Errorf("only https is bound: over http everybody on the way could read it")
	}
	for _, m := range b.Methods {
		if m == "" || strings.ContainsFunc(m, func(r rune) bool { return (r < 'A' || r > 'Z') && r != '-' }) {
			return fmt.Errorf("%q is not a method, which is of capital letters", m)
		}
	}
	for _, p := range b.Paths {
		if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "%?#*\\\x00;") || strings.Contains(p, "//") || slices.ContainsFunc(strings.Split(p, "/"), func(s string) bool { return s == "." || s == ".." }) {
			return fmt.Errorf("%q is not a path: it begins with a slash, is not encoded, and has no empty or dot segments, wildcards or query", p)
		}
	}
	for k := range b.Labels {
		if k == "" {
			return fmt.Errorf("a label has no name")
		}
	}
	return nil
}
