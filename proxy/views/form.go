package views

import (
	"strings"

	"sallyport/proxy/canon"
)

// form reads the fields of a form, as all servers would: those of a query are read
// in the same way.
func form(b []byte) (map[string][]string, bool) {
	q, err := canon.Query(string(b))
	if err != nil {
		return nil, false
	}
	if q == nil {
		q = map[string][]string{}
	}
	return q, plain(q["_charset_"])
}

// plain reports whether a form says of itself that it is UTF-8, or nothing: some
// servers heed that.
func plain(charsets []string) bool {
	for _, c := range charsets {
		if !strings.EqualFold(c, "utf-8") && c != "" {
			return false
		}
	}
	return true
}

// fieldsOf is a form as an object; a field that is there twice is nil.
func fieldsOf(form map[string][]string) map[string]any {
	out := map[string]any{}
	for k, vs := range form {
		out[k] = nil
		if len(vs) == 1 {
			out[k] = vs[0]
		}
	}
	return out
}
