// Package gcp takes tokens of Google Cloud for service accounts.
package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport/credentials"
	"sallyport/credentials/assertion"
	"sallyport/credentials/endpoint"
)

// IAM is where tokens of other accounts are asked for.
const IAM = "https://iamcredentials.googleapis.com"

// cloud is the scope by which an account acts for another.
const cloud = "https://www.googleapis.com/auth/cloud-platform"

// Options of a Source.
type Options struct {
	Key credentials.Source // the JSON file of a service account's key; read anew each time
	// Token has the place of the endpoint that the key names; nil takes that.
	Token *endpoint.Endpoint
	// IAM is where Account, if it is said, is asked for.
	IAM     *endpoint.Endpoint
	Account string
	// Scopes of an access token, or the Audience of an ID token: one of both.
	Scopes   []string
	Audience string
	Life     time.Duration // of an Account's token; 0 means an hour
	// Open opens the endpoint that a key names.
	Open func(string) (*endpoint.Endpoint, error)
}

// A Source is one account. Policy may choose a scope of those of the configuration, or the
// audience of ID tokens. It is safe for concurrent use.
type Source struct{ o Options }

var _ credentials.Narrower = (*Source)(nil)

// New reads the key. Nothing is asked.
func New(ctx context.Context, o Options) (*Source, error) {
	if (len(o.Scopes) == 0) == (o.Audience == "") {
		return nil, errors.New("scopes are for access tokens and audience is for ID tokens: say one of both")
	}
	if o.Life == 0 {
		o.Life = time.Hour
	}
	if o.Life < time.Minute || o.Life > 12*time.Hour {
		return nil, errors.New("lifetime: from 1m to 12h")
	}
	s := &Source{o}
	k, err := s.key(ctx)
	if err != nil {
		return nil, err
	}
	return s, k.signer.Check(ctx)
}

// String names the account.
func (s *Source) String() string {
	if s.o.Account != "" {
		return "gcp:" + s.o.Account
	}
	return "gcp:" + strings.TrimPrefix(s.o.Key.String(), "file:")
}

// Takes returns scope or audience.
func (s *Source) Takes() []string {
	if s.o.Audience != "" {
		return []string{"audience"}
	}
	return []string{"scope"}
}

// A key is what such a file holds.
type key struct {
	email  string
	signer assertion.Signer
	at     *endpoint.Endpoint
}

// private is the private key of a file, as a source.
type private struct {
	credentials.Secret
	of string
}

// Fetch returns it.
func (p private) Fetch(context.Context, credentials.Params) (credentials.Value, error) {
	return credentials.Value{Secret: p.Secret}, nil
}

// String names the file.
func (p private) String() string { return p.of }

func (s *Source) key(ctx context.Context) (out key, err error) {
	v, err := s.o.Key.Fetch(ctx, nil)
	if err != nil {
		return out, err
	}
	fail := func(why string) (key, error) { return key{}, fmt.Errorf("%s: %s", s.o.Key, why) }
	var o endpoint.Object
	credentials.Reveal(v.Secret, func(b []byte) { o, err = endpoint.ParseObject(b) })
	if err != nil {
		return fail("it is " + err.Error())
	}
	said := map[string]string{}
	for _, k := range []string{"type", "client_email", "private_key", "private_key_id", "token_uri"} {
		if said[k], err = o.Text(k); err != nil {
			return fail(err.Error())
		}
	}
	if said["type"] != "service_account" {
		return fail("it is not the key of a service account")
	}
	secret, err := credentials.NewKey([]byte(said["private_key"]))
	if err != nil {
		return fail(err.Error())
	}
	out = key{email: said["client_email"], signer: assertion.Signer{Key: private{secret, s.o.Key.String()}, ID: said["private_key_id"]}, at: s.o.Token}
	if out.at == nil {
		if out.at, err = s.o.Open(said["token_uri"]); err != nil {
			return fail("token_uri: " + err.Error())
		}
	}
	return out, nil
}

// Fetch asks for a token: with the account's key, and with what that gives for
// another account.
func (s *Source) Fetch(ctx context.Context, p credentials.Params) (credentials.Value, error) {
	fail := func(err error) (credentials.Value, error) {
		return credentials.Value{}, fmt.Errorf("%s: %w", s, err)
	}
	scopes, audience := s.o.Scopes, s.o.Audience
	if c, ok := p["scope"]; ok {
		scopes = strings.Fields(c)
		if len(scopes) == 0 || slices.ContainsFunc(scopes, func(w string) bool { return !slices.Contains(s.o.Scopes, w) }) {
			return fail(errors.New("the policy chooses a scope that the configuration does not have"))
		}
	}
	if c, ok := p["audience"]; ok {
		if audience = c; c == "" {
			return fail(errors.New("the policy chooses no audience at all"))
		}
	}
	k, err := s.key(ctx)
	if err != nil {
		return fail(err)
	}
	own, ownAudience := scopes, audience
	if s.o.Account != "" {
		own, ownAudience = []string{cloud}, ""
	}
	v, err := k.token(ctx, own, ownAudience)
	if err == nil && s.o.Account != "" {
		v, err = s.other(ctx, v, scopes, audience)
	}
	if err != nil {
		return fail(err)
	}
	return v, nil
}

const (
	behind   = 30 * time.Second
	asserted = 5 * time.Minute
	grant    = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// codes are errors of Google's token endpoint.
var codes = []string{"invalid_grant", "invalid_scope", "invalid_client", "invalid_request", "unauthorized_client", "access_denied"}

// token asks for one of the account whose key this is.
func (k *key) token(ctx context.Context, scopes []string, audience string) (v credentials.Value, err error) {
	c := map[string]any{"iss": k.email, "sub": k.email, "aud": k.at.URL()}
	field := "access_token"
	if audience != "" {
		c["target_audience"], field = audience, "id_token"
	} else {
		c["scope"] = strings.Join(scopes, " ")
	}
	by, err := k.signer.Sign(ctx, c, behind, asserted)
	if err != nil {
		return v, err
	}
	asked := time.Now()
	a, err := k.at.Ask(ctx, http.MethodPost, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}},
		[]byte(url.Values{"grant_type": {grant}, "assertion": {by}}.Encode()))
	if err != nil {
		return v, err
	}
	o, err := a.Object(k.at.String(), []int{http.StatusOK}, "error", codes)
	if err != nil {
		return v, err
	}
	t, err := o.Text(field)
	if err != nil {
		return v, err
	}
	life, err := o.Seconds("expires_in")
	if err != nil {
		return v, err
	}
	if life == 0 {
		life = time.Hour // of ID tokens, which do not say it beside themselves
	}
	v.Expires = asked.Add(life)
	v.Secret, err = credentials.NewSecret([]byte(t))
	return v, err
}

// other asks for a token of an account for which this one may act.
func (s *Source) other(ctx context.Context, by credentials.Value, scopes []string, audience string) (v credentials.Value, err error) {
	verb, ask, field := "generateAccessToken", map[string]any{"scope": scopes, "lifetime": fmt.Sprintf("%ds", int(s.o.Life/time.Second))}, "accessToken"
	if audience != "" {
		verb, ask, field = "generateIdToken", map[string]any{"audience": audience, "includeEmail": true}, "token"
	}
	b, err := json.Marshal(ask)
	if err != nil {
		return v, err
	}
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	credentials.Reveal(by.Secret, func(t []byte) { h.Set("Authorization", "Bearer "+string(t)) })
	at := s.o.IAM.Below("v1", "projects", "-", "serviceAccounts", s.o.Account+":"+verb)
	asked := time.Now()
	a, err := at.Ask(ctx, http.MethodPost, h, b)
	if err != nil {
		return v, err
	}
	o, err := a.Object(at.String(), []int{http.StatusOK}, "", nil)
	if err != nil {
		return v, err
	}
	t, err := o.Text(field)
	if err != nil {
		return v, err
	}
	v.Expires = asked.Add(time.Hour)
	if audience == "" {
		if v.Expires, err = o.Time("expireTime"); err != nil {
			return v, err
		}
	}
	v.Secret, err = credentials.NewSecret([]byte(t))
	return v, err
}
