// Package oauth2 takes access tokens from OAuth 2.0 token endpoints.
package oauth2

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport/credentials"
	"sallyport/credentials/endpoint"
)

// A Grant is what a token is asked for with.
type Grant string

const (
	ClientCredentials Grant = "client_credentials" // RFC 6749, 4.4
	RefreshToken      Grant = "refresh_token"      // RFC 6749, 6
	JWTBearer         Grant = "jwt_bearer"         // RFC 7523, 2.1
	TokenExchange     Grant = "token_exchange"     // RFC 8693
)

// types are what grants are called on the wire.
var types = map[Grant]string{
	ClientCredentials: "client_credentials",
	RefreshToken:      "refresh_token",
	JWTBearer:         "urn:ietf:params:oauth:grant-type:jwt-bearer",
	TokenExchange:     "urn:ietf:params:oauth:grant-type:token-exchange",
}

// How a client says who it is.
const (
	AuthBasic  = "basic"           // in a header (RFC 6749, 2.3.1)
	AuthPost   = "post"            // in the form
	AuthSigned = "private_key_jwt" // by an assertion in the form (RFC 7523, 2.2)
	AuthNone   = "none"
)

// Options of a Source.
type Options struct {
	At       *endpoint.Endpoint
	Grant    Grant
	ClientID string
	Auth     string // "" is basic with a secret, none without
	// Secret is the client's; it and the others below are asked for each time.
	Secret credentials.Source
	Scopes []string
	// Audience and Resource are for whom the token is, where the server knows them.
	Audience, Resource string
	// Choose are the parameters that policy may choose: scope, which has to be of Scopes
	// if there are any, audience and resource.
	Choose []string
	// Signer makes assertions, for JWTBearer and AuthSigned.
	Signer *Assertion
	// Given is the token that is exchanged or refreshed, or a ready assertion.
	Given credentials.Source
	// GivenType and WantedType are token types of an exchange; "" of the first is a JWT.
	GivenType, WantedType string
	// Keep keeps the tokens that take the place of the one that was given; RefreshToken
	// needs it.
	Keep *Keep
}

// A Source is one client of one endpoint. It is safe for concurrent use.
type Source struct {
	o    Options
	turn chan struct{} // one refresh at a time
	owed *owed
}

var _ credentials.Narrower = (*Source)(nil)

// New checks what is said. Nothing is asked.
func New(o Options) (*Source, error) {
	if o.Auth == "" {
		o.Auth = AuthNone
		if o.Secret != nil {
			o.Auth = AuthBasic
		}
	}
	_, known := types[o.Grant]
	assertion := o.Auth == AuthSigned
	switch {
	case !known:
		return nil, fmt.Errorf("grant %q: expected client_credentials, refresh_token, jwt_bearer or token_exchange", o.Grant)
	case !slices.Contains([]string{AuthBasic, AuthPost, AuthSigned, AuthNone}, o.Auth):
		return nil, fmt.Errorf("auth %q: expected basic, post, private_key_jwt or none", o.Auth)
	case (o.Auth == AuthBasic || o.Auth == AuthPost) != (o.Secret != nil):
		return nil, fmt.Errorf("auth %s and client_secret do not go together", o.Auth)
	case o.Auth != AuthNone && o.ClientID == "":
		return nil, errors.New("client_id is missing")
	case o.Grant == ClientCredentials && o.Auth == AuthNone:
		return nil, errors.New("client_credentials need a client_secret, or auth: private_key_jwt")
	case o.Grant == RefreshToken && (o.Given == nil || o.Keep == nil):
		return nil, errors.New("refresh_token needs a token")
	case o.Grant == JWTBearer && (o.Given == nil) == (o.Signer == nil):
		return nil, errors.New("jwt_bearer needs a key that signs, or a token that is an assertion: one of both")
	case o.Grant == TokenExchange && o.Given == nil:
		return nil, errors.New("token_exchange needs a token")
	case o.Grant == ClientCredentials && o.Given != nil:
		return nil, errors.New("client_credentials take no token")
	case assertion && o.Signer == nil:
		return nil, errors.New("private_key_jwt needs a key")
	case o.Signer != nil && !assertion && o.Grant != JWTBearer:
		return nil, errors.New("nothing is signed with the key: it is for jwt_bearer and private_key_jwt")
	case o.Grant != TokenExchange && o.GivenType+o.WantedType != "":
		return nil, errors.New("token types are for token_exchange")
	}
	for _, c := range o.Choose {
		if c != "scope" && c != "audience" && c != "resource" {
			return nil, fmt.Errorf("choose %q: expected scope, audience or resource", c)
		}
	}
	return &Source{o: o, turn: make(chan struct{}, 1)}, nil
}

// String names the endpoint and the client.
func (s *Source) String() string {
	return fmt.Sprintf("oauth2:%s@%s", s.o.ClientID, s.o.At)
}

// Takes returns what policy may choose.
func (s *Source) Takes() []string { return s.o.Choose }

// Fetch asks for a token.
func (s *Source) Fetch(ctx context.Context, p credentials.Params) (credentials.Value, error) {
	form, err := s.form(p)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("%s: %w", s, err)
	}
	var out outcome
	if s.o.Grant == RefreshToken {
		out, err = s.refresh(ctx, form)
	} else {
		out, err = s.ask(ctx, form, s.o.Given)
	}
	return out.value, err
}

// form is what is asked, without secrets.
func (s *Source) form(p credentials.Params) (url.Values, error) {
	form := url.Values{"grant_type": {types[s.o.Grant]}}
	set := func(k, v string) {
		if v != "" {
			form.Set(k, v)
		}
	}
	scopes := strings.Join(s.o.Scopes, " ")
	if c, ok := p["scope"]; ok {
		for _, w := range strings.Fields(c) {
			if len(s.o.Scopes) > 0 && !slices.Contains(s.o.Scopes, w) {
				return nil, fmt.Errorf("the policy chooses a scope that is not among those of the configuration")
			}
		}
		if scopes = strings.Join(strings.Fields(c), " "); scopes == "" {
			return nil, errors.New("the policy chooses no scope at all")
		}
	}
	set("scope", scopes)
	for k, v := range map[string]string{"audience": s.o.Audience, "resource": s.o.Resource} {
		if c, ok := p[k]; ok {
			if v = c; v == "" {
				return nil, fmt.Errorf("the policy chooses no %s at all", k)
			}
		}
		set(k, v)
	}
	set("requested_token_type", s.o.WantedType)
	if s.o.Auth != AuthBasic {
		set("client_id", s.o.ClientID)
	}
	return form, nil
}

// An outcome is what an endpoint gave.
type outcome struct {
	value credentials.Value
	next  *credentials.Secret // the refresh token in the place of the one that was shown
}

// ask sends a form with the secrets that belong to it.
func (s *Source) ask(ctx context.Context, form url.Values, given credentials.Source) (outcome, error) {
	fail := func(err error) (outcome, error) { return outcome{}, fmt.Errorf("%s: %w", s, err) }
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	if given != nil {
		if err := with(ctx, given, func(t string) {
			form.Set(map[Grant]string{RefreshToken: "refresh_token", JWTBearer: "assertion", TokenExchange: "subject_token"}[s.o.Grant], t)
		}); err != nil {
			return fail(err)
		}
	}
	if s.o.Grant == TokenExchange {
		form.Set("subject_token_type", s.o.GivenType)
		if s.o.GivenType == "" {
			form.Set("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")
		}
	}
	if s.o.Grant == JWTBearer && s.o.Signer != nil {
		t, err := s.o.Signer.grant(ctx, s.o.At.URL(), form.Get("scope"))
		if err != nil {
			return fail(err)
		}
		form.Set("assertion", t)
	}
	var err error
	switch s.o.Auth {
	case AuthBasic:
		err = with(ctx, s.o.Secret, func(t string) {
			pair := url.QueryEscape(s.o.ClientID) + ":" + url.QueryEscape(t)
			h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		})
	case AuthPost:
		err = with(ctx, s.o.Secret, func(t string) { form.Set("client_secret", t) })
	case AuthSigned:
		var t string
		t, err = s.o.Signer.client(ctx, s.o.ClientID, s.o.At.URL())
		form.Set("client_assertion", t)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	}
	if err != nil {
		return fail(err)
	}
	asked := time.Now()
	a, err := s.o.At.Ask(ctx, http.MethodPost, h, []byte(form.Encode()))
	if err != nil {
		return outcome{}, err
	}
	return s.read(a, asked)
}

// with lends the secret of a source.
func with(ctx context.Context, src credentials.Source, f func(string)) error {
	v, err := src.Fetch(ctx, nil)
	if err == nil {
		credentials.Reveal(v.Secret, func(b []byte) { f(string(b)) })
	}
	return err
}

// codes are the errors of RFC 6749, 5.2, RFC 8693 and RFC 8707, and what servers
// add to them: others are not repeated.
var codes = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target",
	"access_denied", "server_error", "temporarily_unavailable", "slow_down", "expired_token"}

// read takes an answer apart (RFC 6749, 5.1).
func (s *Source) read(a *endpoint.Answer, asked time.Time) (outcome, error) {
	fail := func(err error) (outcome, error) { return outcome{}, fmt.Errorf("%s: %w", s.o.At, err) }
	o, err := a.Object(s.o.At.String(), []int{http.StatusOK}, "error", codes)
	if err != nil {
		return outcome{}, err
	}
	kind, err := o.Text("token_type")
	if err != nil {
		return fail(err)
	}
	if !strings.EqualFold(kind, "Bearer") && !(s.o.Grant == TokenExchange && strings.EqualFold(kind, "N_A")) {
		return fail(errors.New("its token is not of type Bearer, and cannot be used as one"))
	}
	token, err := o.Text("access_token")
	if err != nil {
		return fail(err)
	}
	var out outcome
	if out.value.Secret, err = credentials.NewSecret([]byte(token)); err != nil {
		return fail(fmt.Errorf("its token cannot be used: %w", err))
	}
	life, err := o.Seconds("expires_in")
	if err != nil {
		return fail(err)
	}
	if life > 0 {
		out.value.Expires = asked.Add(life) // it may have begun then
	}
	if s.o.Grant == RefreshToken && o.Has("refresh_token") {
		next, err := o.Text("refresh_token")
		if err != nil {
			return fail(err)
		}
		secret, err := credentials.NewSecret([]byte(next))
		if err != nil {
			return fail(fmt.Errorf("its refresh token cannot be used: %w", err))
		}
		out.next = &secret
	}
	return out, nil
}

// Close gives up what the source has open.
func (s *Source) Close() error {
	if c, ok := s.o.Given.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
