package credentials

import (
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// A cookie is one beside those that the client has. The destination's renewals of it
// are not passed on: they are worth as much (RFC 6265).
type cookie struct {
	plain
	name string
}

func (c cookie) String() string { return "cookie:" + c.name }

func (c cookie) check() error {
	if !httpguts.ValidHeaderFieldName(c.name) { // a token, as that is
		return fmt.Errorf("%q is not the name of a cookie", c.name)
	}
	return nil
}

func (c cookie) strip(r *Request) (found bool) {
	var kept []string
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			if c.in(pair) {
				found = true
			} else if p := strings.TrimSpace(pair); p != "" {
				kept = append(kept, p)
			}
		}
	}
	switch {
	case !found:
	case len(kept) == 0:
		delete(r.Header, "Cookie")
	default:
		r.Header["Cookie"] = []string{strings.Join(kept, "; ")}
	}
	return found
}

// in reports whether servers could read the cookie in a piece of the field: some part
// them at commas as well.
func (c cookie) in(pair string) bool {
	for p := range strings.SplitSeq(pair, ",") {
		name, _, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.Trim(name, " \t\""), c.name) {
			return true
		}
	}
	return false
}

func (c cookie) put(r *Request, v Value) (err error) {
	v.Secret.use(func(s []byte) {
		for _, b := range s {
			if b <= ' ' || b >= 0x7f || strings.IndexByte(`",;\`, b) >= 0 {
				err = unplaced("the secret has a character that no cookie has")
				return
			}
		}
		all := append(r.Header["Cookie"][:len(r.Header["Cookie"]):len(r.Header["Cookie"])], c.name+"="+string(s))
		r.Header["Cookie"] = []string{strings.Join(all, "; ")}
	})
	return err
}

func (c cookie) answered(h http.Header) (n int) {
	for _, field := range []string{"Set-Cookie", "Set-Cookie2"} {
		var kept []string
		for _, v := range h[field] {
			pair, _, _ := strings.Cut(v, ";")
			if c.in(pair) {
				n++
			} else {
				kept = append(kept, v)
			}
		}
		if len(kept) < len(h[field]) {
			if h[field] = kept; len(kept) == 0 {
				delete(h, field)
			}
		}
	}
	return n
}
