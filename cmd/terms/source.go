package terms

import (
	"strings"

	"sallyport/config"
	"sallyport/credentials"
	"sallyport/credentials/command"
	"sallyport/credentials/endpoint"
	"sallyport/credentials/env"
	"sallyport/credentials/file"
)

// Sources open what a configuration says of where secrets are. What is wrong is
// said at its place.
type Sources struct {
	Bad   *config.Problems
	Rel   func(string) string // makes paths absolute
	Held  *credentials.Lease  // of those that are kept
	State string              // directory of what outlives a restart
	// Runner runs programs; nil runs them here. They are of the user UID.
	Runner command.Runner
	UID    int
}

// open opens one, and reports false when something is wrong with it.
func (s *Sources) open(key string, c config.Source, to config.Text) (credentials.Source, bool) {
	kinds := []struct {
		name string
		at   config.Pos
		open func(o *opening) (credentials.Source, credentials.Terms)
		also string // that tells one from another
	}{
		{"oauth2", c.OAuth2.At, func(o *opening) (credentials.Source, credentials.Terms) { return o.oauth2(c.OAuth2) }, ""},
		{"exec", c.Exec.At, func(o *opening) (credentials.Source, credentials.Terms) { return o.exec(c.Exec, to) }, to.S},
	}
	var names, found []string
	at := c.From.Pos
	var open func() (credentials.Source, bool)
	for _, k := range kinds {
		names = append(names, k.name)
		if k.at == (config.Pos{}) {
			continue
		}
		found, at = append(found, k.name), k.at
		open = func() (credentials.Source, bool) {
			o := &opening{Sources: s, at: k.at, key: key + "." + k.name, ok: true}
			src, terms := k.open(o)
			if !o.ok {
				return nil, false
			}
			// What was said before is held already, and this one is not used.
			held, err := s.Held.Take(said(c)+k.also, func() (credentials.Source, credentials.Terms, error) { return src, terms, nil })
			if err != nil {
				o.wrong(config.Text{Pos: k.at}, "", "%v", err)
				return nil, false
			}
			return held, true
		}
	}
	switch {
	case len(found) == 1 && c.From.S == "":
		return open()
	case len(found) > 1:
		s.Bad.Add(at, key, "a secret has one source, and here are %s", strings.Join(found, " and "))
		return nil, false
	case len(found) == 1:
		s.Bad.Add(at, key, "a secret has one source, and here are from and %s", found[0])
		return nil, false
	}
	if c.From.S == "" {
		s.Bad.Add(c.At, key, "expected env:VARIABLE, file:PATH, or one of the keys %s", strings.Join(names, ", "))
		return nil, false
	}
	o := &opening{Sources: s, at: c.From.Pos, key: key, ok: true}
	src := o.plain(c.From, "", false)
	return src, o.ok
}

// An opening is one source that is opened.
type opening struct {
	*Sources
	at  config.Pos
	key string
	ok  bool
}

// wrong says what is wrong with a key.
func (o *opening) wrong(at config.Text, key, format string, a ...any) {
	if at.Pos == (config.Pos{}) {
		at.Pos = o.at
	}
	if key != "" {
		key = "." + key
	}
	o.Bad.Add(at.Pos, o.key+key, format, a...)
	o.ok = false
}

// plain opens env:VARIABLE or file:PATH. A key is never put on a request itself. It
// is nil when nothing is said.
func (o *opening) plain(t config.Text, key string, isKey bool) credentials.Source {
	if t.S == "" && key != "" {
		return nil
	}
	var src credentials.Source
	var err error
	switch kind, arg, _ := strings.Cut(t.S, ":"); {
	case arg == "" || kind != "env" && kind != "file":
		o.wrong(t, key, "expected env:VARIABLE or file:PATH; what stands here is not repeated, since it may be a secret")
		return nil
	case kind == "env" && isKey:
		src, err = env.NewKey(arg)
	case kind == "env":
		src, err = env.New(arg)
	case isKey:
		src, err = file.NewKey(o.Rel(arg))
	default:
		src, err = file.New(o.Rel(arg))
	}
	if err != nil {
		o.wrong(t, key, "%v", err)
		return nil
	}
	return src
}

// endpoint opens where something is asked for.
func (o *opening) endpoint(u config.Text, key string, ca config.Text, http config.Bool) *endpoint.Endpoint {
	e, err := endpoint.New(u.S, endpoint.Options{AllowHTTP: http.B})
	if err != nil {
		o.wrong(u, key, "%v", err)
		return nil
	}
	if ca.S == "" {
		return e
	}
	if e, err = endpoint.New(u.S, endpoint.Options{AllowHTTP: http.B, CA: o.Rel(ca.S)}); err != nil {
		o.wrong(ca, "ca", "%v", err)
	}
	return e
}

// texts are the words of a list.
func texts(ts []config.Text) (out []string) {
	for _, t := range ts {
		out = append(out, t.S)
	}
	return out
}
