// Package vault takes secrets from HashiCorp Vault and OpenBao, and gives leases back.
package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/credentials"
	"sallyport/credentials/endpoint"
)

// Options of a Source.
type Options struct {
	At        *endpoint.Endpoint // the server, without /v1
	Namespace string             // "" is the root's
	Path      string             // as in secret/data/app of KV 2, or database/creds/app
	Field     string             // that is the secret
	Public    map[string]string  // others that need not be hidden, by the names that they get here
	Login     Login
}

// A Login is how one says who asks: one of the three.
type Login struct {
	Token            credentials.Source // a token, such as an agent's file; read anew each time
	RoleID, SecretID credentials.Source // AppRole
	Role             string             // of Kubernetes' service accounts
	Account          credentials.Source // and their token, read anew each time
	Mount            string             // "" is approle or kubernetes
}

// A Source is one secret. A lease is renewed as long as that can be done, and revoked by
// Close with the token that was logged in for. It is safe for concurrent use.
type Source struct {
	o    Options
	turn chan struct{}

	mu    sync.Mutex
	token *token
	lease *lease
	ended bool
}

var _ credentials.Source = (*Source)(nil)

type token struct {
	secret credentials.Secret
	ends   time.Time // zero is never
	own    bool      // it was logged in for
	renew  bool
	life   time.Duration
}

type lease struct {
	id    string
	v     credentials.Value
	renew bool
	life  time.Duration // that it was given at first
}

var pathPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$`)

// New checks what is said. Nothing is asked.
func New(o Options) (*Source, error) {
	l := o.Login
	ways := 0
	for _, w := range []bool{l.Token != nil, l.RoleID != nil || l.SecretID != nil, l.Role != "" || l.Account != nil} {
		if w {
			ways++
		}
	}
	switch {
	case !pathPattern.MatchString(o.Path) || strings.Contains("/"+o.Path+"/", "/../") || strings.Contains("/"+o.Path+"/", "/./"):
		return nil, errors.New("path: expected one such as secret/data/app, without v1 before it")
	case strings.HasPrefix(o.Path, "v1/"):
		return nil, errors.New("path: v1 is said already")
	case o.Field == "":
		return nil, errors.New("field is missing")
	case ways != 1:
		return nil, errors.New("expected one way to log in: token, approle or kubernetes")
	case (l.RoleID == nil) != (l.SecretID == nil):
		return nil, errors.New("role_id and secret_id come together")
	case (l.Role == "") != (l.Account == nil):
		return nil, errors.New("role and jwt come together")
	case strings.ContainsAny(o.Namespace, "\r\n"), strings.ContainsAny(l.Mount, "?#%"):
		return nil, errors.New("namespace or mount has a character that is none of a name")
	}
	return &Source{o: o, turn: make(chan struct{}, 1)}, nil
}

// String names the secret.
func (s *Source) String() string { return "vault:" + s.o.Path + "#" + s.o.Field }

// Fetch renews the lease that there is, or reads the secret. One does so at a time.
func (s *Source) Fetch(ctx context.Context, _ credentials.Params) (credentials.Value, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return credentials.Value{}, fmt.Errorf("%s: %w", s, context.Cause(ctx))
	}
	v, err := s.fetch(ctx)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("%s: %w", s, err)
	}
	return v, nil
}

func (s *Source) fetch(ctx context.Context) (credentials.Value, error) {
	if s.isEnded() {
		return credentials.Value{}, errors.New("it was given up")
	}
	old := s.leased()
	near := old != nil && time.Until(old.v.Expires) < old.life/2
	if near && old.renew {
		if err := s.renew(ctx, old); err == nil {
			return old.v, nil
		}
	}
	v, err := s.read(ctx)
	if e := (*endpoint.Error)(nil); errors.As(err, &e) && e.Status == http.StatusForbidden && s.forget() { // the token was revoked meanwhile
		v, err = s.read(ctx)
	}
	if err == nil && old != nil && !near { // another was wanted before its time
		_ = s.revoke(ctx, old)
	}
	return v, err
}

// revoke gives a lease back.
func (s *Source) revoke(ctx context.Context, l *lease) error {
	b, err := json.Marshal(map[string]string{"lease_id": l.id})
	if err == nil {
		_, err = s.ask(ctx, http.MethodPut, "sys/leases/revoke", b)
	}
	return err
}

func (s *Source) isEnded() bool  { s.mu.Lock(); defer s.mu.Unlock(); return s.ended }
func (s *Source) leased() *lease { s.mu.Lock(); defer s.mu.Unlock(); return s.lease }

// forget lets go of a token that was logged in for, and reports whether there was one.
func (s *Source) forget() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := s.token != nil && s.token.own
	s.token = nil
	return had
}

// read reads the secret.
func (s *Source) read(ctx context.Context) (v credentials.Value, err error) {
	o, err := s.ask(ctx, http.MethodGet, s.o.Path, nil)
	if err != nil {
		return v, err
	}
	data, err := o.Sub("data")
	if err != nil {
		return v, err
	}
	if data.Has("data") && data.Has("metadata") { // KV 2
		if data, err = data.Sub("data"); err != nil {
			return v, errors.New("this version of the secret was deleted")
		}
	}
	text, err := data.Text(s.o.Field)
	if err != nil {
		return v, err
	}
	if v.Secret, err = credentials.NewSecret([]byte(text)); err != nil {
		return v, err
	}
	for name, field := range s.o.Public {
		t, err := data.Text(field)
		if err != nil {
			return v, err
		}
		if v.Public == nil {
			v.Public = map[string]string{}
		}
		v.Public[name] = t
	}
	id, none := o.Text("lease_id")
	if none != nil {
		return v, nil
	}
	life, err := o.Seconds("lease_duration")
	if err != nil || life == 0 {
		return v, errors.New("its lease does not say how long it lasts")
	}
	v.Expires = time.Now().Add(life)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lease = &lease{id, v, string(o["renewable"]) == "true", life}
	return v, nil
}

// renew makes a lease last longer. One that is near the most that it can last is
// not worth it.
func (s *Source) renew(ctx context.Context, l *lease) error {
	b, err := json.Marshal(map[string]any{"lease_id": l.id, "increment": int(l.life / time.Second)})
	if err != nil {
		return err
	}
	asked := time.Now()
	o, err := s.ask(ctx, http.MethodPut, "sys/leases/renew", b)
	if err != nil {
		return err
	}
	life, err := o.Seconds("lease_duration")
	if err != nil || life < l.life/2 {
		return errors.New("it lasts no longer")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.v.Expires = asked.Add(life)
	return nil
}

// ask asks for a path, logged in.
func (s *Source) ask(ctx context.Context, method, path string, body []byte) (endpoint.Object, error) {
	t, err := s.login(ctx)
	if err != nil {
		return nil, err
	}
	return s.with(ctx, method, path, &t.secret, body)
}

func (s *Source) with(ctx context.Context, method, path string, t *credentials.Secret, body []byte) (endpoint.Object, error) {
	h := http.Header{"Accept": {"application/json"}, "X-Vault-Request": {"true"}}
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	if s.o.Namespace != "" {
		h.Set("X-Vault-Namespace", s.o.Namespace)
	}
	if t != nil {
		credentials.Reveal(*t, func(b []byte) { h.Set("X-Vault-Token", string(b)) })
	}
	at := s.o.At.Below(append([]string{"v1"}, strings.Split(path, "/")...)...)
	a, err := at.Ask(ctx, method, h, body)
	if err != nil {
		return nil, err
	}
	if a.Status == http.StatusNoContent {
		return endpoint.Object{}, nil
	}
	return a.Object(at.String(), []int{http.StatusOK}, "", nil)
}

// login returns a token: the one that is given, or one that lasts.
func (s *Source) login(ctx context.Context) (*token, error) {
	l := s.o.Login
	if l.Token != nil {
		v, err := l.Token.Fetch(ctx, nil)
		return &token{secret: v.Secret}, err
	}
	s.mu.Lock()
	t := s.token
	s.mu.Unlock()
	now := time.Now()
	switch {
	case t != nil && (t.ends.IsZero() || t.ends.Sub(now) > t.life/3):
		return t, nil
	case t != nil && t.renew && t.ends.After(now):
		if o, err := s.with(ctx, http.MethodPut, "auth/token/renew-self", &t.secret, []byte("{}")); err == nil {
			if n, err := s.logged(o, now, t); err == nil && n.ends.Sub(now) > n.life/3 {
				return n, nil
			}
		}
	}
	mount, said := "approle", map[string]string{}
	sources := map[string]credentials.Source{"role_id": l.RoleID, "secret_id": l.SecretID}
	if l.Account != nil {
		mount, sources = "kubernetes", map[string]credentials.Source{"jwt": l.Account}
		said["role"] = l.Role
	}
	if l.Mount != "" {
		mount = l.Mount
	}
	for k, src := range sources {
		v, err := src.Fetch(ctx, nil)
		if err != nil {
			return nil, err
		}
		credentials.Reveal(v.Secret, func(b []byte) { said[k] = string(b) })
	}
	b, err := json.Marshal(said)
	if err != nil {
		return nil, errors.New("what is said to log in is no text")
	}
	o, err := s.with(ctx, http.MethodPost, "auth/"+mount+"/login", nil, b)
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	return s.logged(o, now, nil)
}

// logged takes a token from an answer; what it does not say is as it was.
func (s *Source) logged(o endpoint.Object, asked time.Time, was *token) (*token, error) {
	a, err := o.Sub("auth")
	if err != nil {
		return nil, err
	}
	text, err := a.Text("client_token")
	if err != nil {
		return nil, err
	}
	t := &token{own: true, renew: string(a["renewable"]) == "true"}
	if t.secret, err = credentials.NewKey([]byte(text)); err != nil {
		return nil, err
	}
	life, err := a.Seconds("lease_duration")
	if err != nil && string(a["lease_duration"]) != "0" {
		return nil, err
	}
	if t.life = life; life > 0 {
		t.ends = asked.Add(life)
	}
	if was != nil {
		t.life = max(t.life, was.life) // what it was given at first
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = t
	return t, nil
}

// revoking is how long Close waits for the server.
const revoking = 3 * time.Second

// Close revokes the lease, and the token that was logged in for.
func (s *Source) Close() error {
	s.mu.Lock()
	l, t := s.lease, s.token
	s.ended, s.lease, s.token = true, nil, nil
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), revoking)
	defer cancel()
	var errs []error
	if l != nil {
		by := t
		if by == nil && s.o.Login.Token != nil {
			v, err := s.o.Login.Token.Fetch(ctx, nil)
			errs = append(errs, err)
			by = &token{secret: v.Secret}
		}
		if by != nil {
			b, err := json.Marshal(map[string]string{"lease_id": l.id})
			if err == nil {
				_, err = s.with(ctx, http.MethodPut, "sys/leases/revoke", &by.secret, b)
			}
			errs = append(errs, err)
		}
	}
	if t != nil && t.own {
		_, err := s.with(ctx, http.MethodPut, "auth/token/revoke-self", &t.secret, nil)
		errs = append(errs, err)
	}
	if err := errors.Join(slices.DeleteFunc(errs, func(e error) bool { return e == nil })...); err != nil {
		return fmt.Errorf("%s: giving back: %w", s, err)
	}
	return nil
}
