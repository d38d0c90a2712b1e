package credentials

import (
	"fmt"
	"net/url"
	"strings"
)

// A parameter is one of the query.
type parameter struct {
	plain
	name string
}

func (p parameter) String() string { return "query:" + p.name }

func (p parameter) check() error {
	if p.name == "" {
		return fmt.Errorf("the parameter has no name")
	}
	return nil
}

func (p parameter) strip(r *Request) (found bool) {
	if r.URL == nil || r.URL.RawQuery == "" {
		return false
	}
	r.URL.RawQuery, found = withoutPair(r.URL.RawQuery, p.name)
	return found
}

func (p parameter) put(r *Request, v Value) error {
	v.Secret.use(func(s []byte) { r.URL.RawQuery = withPair(r.URL.RawQuery, p.name, string(s)) })
	r.URL.ForceQuery = false
	return nil
}

// withoutPair takes a name out of pairs as queries and forms have them, and what nobody
// can read as a name.
func withoutPair(pairs, name string) (string, bool) {
	kept := make([]string, 0, 4)
	found := false
	for kv := range strings.SplitSeq(pairs, "&") {
		has := false
		for part := range strings.SplitSeq(kv, ";") {
			k, _, _ := strings.Cut(part, "=")
			n, err := url.QueryUnescape(k)
			has = has || err != nil || strings.EqualFold(n, name)
		}
		if has {
			found = true
			continue
		}
		kept = append(kept, kv)
	}
	return strings.Join(kept, "&"), found
}

func withPair(pairs, name, value string) string {
	kv := url.QueryEscape(name) + "=" + url.QueryEscape(value)
	if pairs == "" {
		return kv
	}
	return pairs + "&" + kv
}
