package credentials

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// reserved are the fields that frame or route a request: no secret goes there.
var reserved = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te", "Trailer", "Expect", "Range", "Accept-Encoding"}

// A headerField is a field of its own, with a fixed format.
type headerField struct {
	plain
	name, format string
}

func (f headerField) String() string { return "header:" + f.name }

func (f headerField) check() error {
	if !httpguts.ValidHeaderFieldName(f.name) {
		return fmt.Errorf("%q is not the name of a header field", f.name)
	}
	for _, r := range reserved {
		if strings.EqualFold(r, f.name) {
			return fmt.Errorf("%s frames or routes a request: no secret goes there", r)
		}
	}
	if strings.EqualFold(f.name, "Cookie") {
		return fmt.Errorf("a cookie is placed as cookie:NAME, beside those of the client")
	}
	_, err := parseTemplate(f.format)
	return err
}

func (f headerField) strip(r *Request) bool { return stripHeader(r.Header, f.name) }

func (f headerField) put(r *Request, v Value) error {
	t, err := parseTemplate(f.format)
	if err != nil {
		return unplaced("%v", err)
	}
	s, err := t.render(v)
	if err != nil {
		return &Error{"credential_unavailable", "a credential for this destination is not available", err.Error()}
	}
	if !httpguts.ValidHeaderFieldValue(s) {
		return unplaced("what is put into %s is no value of a header field", f.name)
	}
	r.Header.Set(f.name, s)
	return nil
}

// stripHeader removes a field under every spelling that a server could take for it.
func stripHeader(h http.Header, name string) (found bool) {
	want := strings.ReplaceAll(textproto.CanonicalMIMEHeaderKey(name), "_", "-")
	for k := range h {
		if strings.EqualFold(textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(k, "_", "-")), want) {
			delete(h, k)
			found = true
		}
	}
	return found
}
