package terms

import (
	"errors"
	"strings"

	"sallyport/config"
	"sallyport/credentials"
	"sallyport/credentials/command"
	"sallyport/credentials/endpoint"
	"sallyport/credentials/env"
	"sallyport/credentials/file"
	"sallyport/credentials/inherited"
	"sallyport/credentials/systemd"
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
		{"age", c.Age.At, func(o *opening) (credentials.Source, credentials.Terms) { return o.age(c.Age) }, ""},
		{"github_app", c.GitHub.At, func(o *opening) (credentials.Source, credentials.Terms) { return o.github(c.GitHub) }, ""},
		{"aws", c.AWS.At, func(o *opening) (credentials.Source, credentials.Terms) { return o.aws(c.AWS) }, ""},
		{"gcp", c.GCP.At, func(o *opening) (credentials.Source, credentials.Terms) { return o.gcp(c.GCP) }, ""},
		{"vault", c.Vault.At, func(o *opening) (credentials.Source, credentials.Terms) { return o.vault(c.Vault) }, ""},
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
		s.Bad.Add(c.At, key, "expected env:VARIABLE, file:PATH, systemd:NAME, fd:NUMBER, or one of the keys %s", strings.Join(names, ", "))
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

// plainForm is what a secret of a source itself, and the simplest of sources, is.
const plainForm = "env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER"

// plain opens one of those. A key is never put on a request itself. It is nil when
// nothing is said.
func (o *opening) plain(t config.Text, key string, isKey bool) credentials.Source {
	if t.S == "" && key != "" {
		return nil
	}
	take, fromFile, fromEnv := credentials.NewSecret, file.New, env.New
	if isKey {
		take, fromFile, fromEnv = credentials.NewKey, file.NewKey, env.NewKey
	}
	src, err := credentials.Source(nil), error(nil)
	kind, arg, _ := strings.Cut(t.S, ":")
	if arg == "" {
		kind = ""
	}
	switch kind {
	case "env":
		src, err = opened(fromEnv(arg))
	case "file":
		src, err = opened(fromFile(o.Rel(arg)))
	case "systemd":
		src, err = opened(systemd.New(arg, fromFile))
	case "fd":
		src, err = opened(inherited.New(arg, take))
	default:
		err = errors.New("expected " + plainForm + "; what stands here is not repeated, since it may be a secret")
	}
	if err != nil {
		o.wrong(t, key, "%v", err)
		return nil
	}
	return src
}

// needed is plain of a key that there has to be; that it is missing was said
// where the configuration was read.
func (o *opening) needed(t config.Text, key string) credentials.Source {
	src := o.plain(t, key, true)
	o.ok = o.ok && src != nil
	return src
}

// opened is what was opened, or nothing.
func opened[S credentials.Source](s S, err error) (credentials.Source, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
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
