package credentials

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
)

// A claim is what a client has in a place.
type claim int

const (
	nothing claim = iota
	something
	thePlaceholder
)

// claims compares what is in a place with what would be if the placeholder were put
// there.
func claims(have []string, want string) claim {
	switch {
	case len(have) == 0:
		return nothing
	case len(have) == 1 && strings.EqualFold(have[0], want):
		return thePlaceholder
	}
	return something
}

// admits says of what the client has in the place of a credential whether it may go on,
// before it is stripped.
func (s *Store) admits(b *Binding, v Value, t Target, r *Request) error {
	if b.ClientValue == "" || b.ClientValue == StripValue {
		if b.Place.Kind != Basic || b.Placeholder == nil {
			return nil
		}
	}
	if b.Placeholder != nil {
		p, err := NewSecret([]byte(s.placeholder(b, t.Sandbox)))
		if err != nil {
			return unplaced("%v", err)
		}
		v.Secret = p
	}
	has, err := b.Place.placer().claim(r, v)
	switch {
	case err != nil:
		return err
	case b.ClientValue == RejectValue && has != nothing:
		return &Error{"credential_client_value", "the request has a value of its own where a credential is put", b.Name}
	case b.ClientValue == RequirePlaceholder && has != thePlaceholder:
		return &Error{"placeholder_required", "the request does not show the placeholder of its credential", b.Name}
	}
	return nil
}

func (f headerField) claim(r *Request, v Value) (claim, error) {
	t, err := parseTemplate(f.format)
	if err != nil {
		return something, unplaced("%v", err)
	}
	want, err := t.render(v)
	if err != nil {
		return something, unplaced("%v", err)
	}
	return claims(headerValues(r, f.name), want), nil
}

func headerValues(r *Request, name string) (out []string) {
	h := r.Header.Clone()
	out = append(out, h.Values(name)...)
	h.Del(name)
	if stripHeader(h, name) {
		out = append(out, "") // under another spelling
	}
	return out
}

// claim notes the client's user, which is kept where nobody says another.
func (b basic) claim(r *Request, v Value) (claim, error) {
	have := headerValues(r, "Authorization")
	if len(have) == 0 {
		return nothing, nil
	}
	scheme, coded, _ := strings.Cut(have[0], " ")
	pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(coded))
	user, password, ok := strings.Cut(string(pair), ":")
	if err != nil || !ok || len(have) > 1 || !strings.EqualFold(scheme, "Basic") || strings.ContainsFunc(user, badUser) {
		return something, nil
	}
	is := something
	v.Secret.use(func(p []byte) {
		if password == string(p) {
			is, r.user = thePlaceholder, user
		}
	})
	return is, nil
}

func (p parameter) claim(r *Request, v Value) (claim, error) {
	if r.URL == nil {
		return nothing, nil
	}
	return pairClaims(r.URL.RawQuery, p.name, v), nil
}

func pairClaims(pairs, name string, v Value) (is claim) {
	var have []string
	for kv := range strings.SplitSeq(pairs, "&") {
		if _, found := withoutPair(kv, name); found && kv != "" {
			k, value, _ := strings.Cut(kv, "=")
			if k, err := url.QueryUnescape(k); err != nil || k != name {
				value = ""
			}
			value, _ = url.QueryUnescape(value)
			have = append(have, value)
		}
	}
	v.Secret.use(func(s []byte) { is = claims(have, string(s)) })
	return is
}

func (c cookie) claim(r *Request, v Value) (is claim, _ error) {
	var have []string
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			if c.in(pair) {
				_, value, _ := strings.Cut(pair, "=")
				have = append(have, strings.Trim(value, " \t\""))
			}
		}
	}
	v.Secret.use(func(s []byte) { is = claims(have, string(s)) })
	return is, nil
}

func (m member) claim(r *Request, v Value) (is claim, err error) {
	b, err := r.bodyOf(isJSON)
	if err != nil {
		return something, err
	}
	at, end, err := findMember(b, m.names())
	if err != nil {
		return something, unplaced("%v", err)
	}
	if at < 0 {
		return nothing, nil
	}
	var have string
	if json.Unmarshal(b[at:end], &have) != nil {
		return something, nil
	}
	v.Secret.use(func(s []byte) { is = claims([]string{have}, string(s)) })
	return is, nil
}

func (f formField) claim(r *Request, v Value) (claim, error) {
	b, err := r.bodyOf(isForm)
	if err != nil {
		return something, err
	}
	return pairClaims(string(b), f.name, v), nil
}
