package canon

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// decoded is how nginx and its like read a path: all is decoded, dot segments are
// followed, slashes are merged.
func decoded(raw string) (string, error) {
	p, err := url.PathUnescape(raw)
	if err != nil {
		return "", err
	}
	end := strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")
	if p = path.Clean(p); end && p != "/" {
		p += "/"
	}
	return p, nil
}

func merged(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}

// A path that is taken is read by servers as it is judged: decoded once it is what
// policy sees, and decoding it twice, following dots or leaving parameters out
// makes no other of it. It reads as itself when it is written again.
func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"/", "/a%2Fb", "/%2e", "/a/../b", "/b%C3%BC;x", "//a//b/", "/a%25b", "/%252e", "/a;x=1/..;/b", "/a%5Cb", "/%c0%ae", "/a%00", "/100%25/2F", "/%25/2F", "/%2f%2F", "/..a/.b./...", "/a%3Bb", "/%2e%2e%3b", "/a%2F.%2Fb", "/a%3F%23", "/%EF%BC%8F", "/a%2F;x/..", "/%", "/a b", "/+",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, segments, err := Path(raw)
		if err != nil {
			if p != "" || segments != nil {
				t.Fatalf("%q is refused and yet %q", raw, p)
			}
			return
		}
		if _, err := url.ParseRequestURI(raw); err != nil {
			t.Fatalf("%q is taken, and net/url says %v", raw, err)
		}
		if strings.Count(raw, "/") != len(segments) || strings.Count(p, "/") != len(segments) {
			t.Fatalf("%q has %d segments as %q", raw, len(segments), p)
		}
		whole, err := url.PathUnescape(raw)
		if err != nil || whole != strings.ReplaceAll(p, "%2F", "/") || whole != "/"+strings.Join(segments, "/") {
			t.Fatalf("%q is judged as %q %q, and decodes to %q (%v)", raw, p, segments, whole, err)
		}
		if twice, err := url.PathUnescape(whole); err == nil && twice != whole {
			t.Fatalf("%q decodes to %q, and that to %q", raw, whole, twice)
		}
		if followed, err := decoded(raw); err != nil || followed != merged(whole) {
			t.Fatalf("%q is judged as %q, and others read %q (%v)", raw, p, followed, err)
		}
		var bare []string
		for _, s := range strings.Split(raw, "/") { // as servers do that take parameters off first
			s, _, _ = strings.Cut(s, ";")
			bare = append(bare, s)
		}
		if w, err := decoded(strings.Join(bare, "/")); err != nil || strings.Count(w, "/") > strings.Count(whole, "/") || w != merged(unescape(t, strings.Join(bare, "/"))) {
			t.Fatalf("%q is judged as %q, and without parameters it is %q (%v)", raw, p, w, err)
		}
		if strings.ContainsAny(whole, "\\\x00\r\n\x7f") || !utf8.ValidString(whole) {
			t.Fatalf("%q decodes to %q", raw, whole)
		}
		var written []string
		for _, s := range segments {
			written = append(written, url.PathEscape(s))
		}
		q, again, err := Path("/" + strings.Join(written, "/"))
		if err != nil || q != p || !slices.Equal(again, segments) {
			t.Fatalf("%q is judged as %q %q, which written again is %q %q (%v)", raw, p, segments, q, again, err)
		}
	})
}

func unescape(t *testing.T, s string) string {
	u, err := url.PathUnescape(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A query that is taken has the parameters that servers find who cut it at & and
// at nothing else, and as many of them. It reads as itself when it is written again.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "a=1&b=2", "a=1&a=2", "a", "&&a=&=b", "a=b+c%20d", "a=%26&%3D=1", "a;b", "a=%zz", "a=%00", "%00=1", "a=%ff", "a?b", "a=b=c", "a=%3B", "a=\\b", "%61=1", "a[]=1", "a=%0d%0a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := Query(raw)
		if err != nil {
			if q != nil {
				t.Fatalf("%q is refused and yet %q", raw, q)
			}
			return
		}
		n := 0
		for pair := range strings.SplitSeq(raw, "&") {
			if pair == "" {
				continue
			}
			k, v, _ := strings.Cut(pair, "=")
			k, err1 := url.QueryUnescape(k)
			v, err2 := url.QueryUnescape(v)
			if err1 != nil || err2 != nil || !slices.Contains(q[k], v) {
				t.Fatalf("%q has %q=%q, and is judged as %q", raw, k, v, q)
			}
			n++
		}
		for k, vs := range q {
			if n -= len(vs); strings.ContainsAny(k, "\x00\r\n") {
				t.Fatalf("%q has the name %q", raw, k)
			}
		}
		if n != 0 {
			t.Fatalf("%q has %d parameters more than %q", raw, n, q)
		}
		again, err := Query(url.Values(q).Encode())
		if err != nil || len(again) != len(q) {
			t.Fatalf("%q is judged as %q, which written again is %q (%v)", raw, q, again, err)
		}
		for k := range q {
			if !slices.Equal(q[k], again[k]) {
				t.Fatalf("%q: %q is %q, and written again %q", raw, k, q[k], again[k])
			}
		}
	})
}
