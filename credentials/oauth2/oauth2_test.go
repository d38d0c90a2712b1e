package oauth2

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/credentials"
	"sallyport/credentials/assertion"
	"sallyport/credentials/endpoint"
	"sallyport/credentials/file"
	"sallyport/origin/tokens"
)

// secret is a file as a source.
func secret(t *testing.T, name, text string) *file.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := file.NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func server(t *testing.T) (*tokens.Server, Options) {
	t.Helper()
	srv, err := tokens.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	at, err := endpoint.New(srv.URL, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return srv, Options{At: at, Grant: ClientCredentials, ClientID: srv.Client, Secret: secret(t, "secret", srv.Secret)}
}

func fetch(t *testing.T, s *Source, p credentials.Params) (string, time.Time, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	v, err := s.Fetch(ctx, p)
	var out string
	credentials.Reveal(v.Secret, func(b []byte) { out = string(b) })
	return out, v.Expires, err
}

// A key and its public half.
func key(t *testing.T) (*file.Source, *ecdsa.PublicKey) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return secret(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), &k.PublicKey
}

// Each grant, and each way to say who asks, at a server that checks all of it.
func TestGrants(t *testing.T) {
	srv, basic := server(t)
	pem, public := key(t)
	srv.Key, srv.Subject = public, "a-subject-token"
	signer := func() *Assertion {
		return &Assertion{Signer: assertion.Signer{Key: pem, ID: "k1"}, Issuer: "me@example"}
	}
	post, signed, bearer, exchange, ready := basic, basic, basic, basic, basic
	post.Auth = AuthPost
	signed.Auth, signed.Secret, signed.Signer = AuthSigned, nil, signer()
	bearer.Grant, bearer.ClientID, bearer.Secret, bearer.Signer = JWTBearer, "", nil, signer()
	exchange.Grant, exchange.Given, exchange.Audience, exchange.Resource = TokenExchange, secret(t, "subject", "a-subject-token"), "them", "https://them.example"
	by, err := signer().grant(t.Context(), srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	ready.Grant, ready.ClientID, ready.Secret, ready.Given = JWTBearer, "", nil, secret(t, "ready", by)
	for name, o := range map[string]Options{"basic": basic, "post": post, "private_key_jwt": signed, "jwt_bearer": bearer, "token_exchange": exchange, "a ready assertion": ready} {
		o.Scopes = []string{"read", "write"}
		s, err := New(o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		before := len(srv.Forms())
		got, ends, err := fetch(t, s, nil)
		if err != nil || got != fmt.Sprintf("access-token-%d-read.write", before+1) || time.Until(ends) < 59*time.Minute || time.Until(ends) > time.Hour {
			t.Errorf("%s: %q until %s, %v", name, got, ends, err)
		}
		if name == "token_exchange" {
			if f := srv.Forms()[before]; f.Get("audience") != "them" || f.Get("resource") != "https://them.example" {
				t.Errorf("%v", f)
			}
		}
	}
	srv.Secret = "changed meanwhile"
	s, err := New(basic)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := fetch(t, s, nil); err == nil || !strings.HasSuffix(err.Error(), "answered 400 invalid_client") {
		t.Errorf("an old secret: %v", err)
	}
	if err := os.WriteFile(basic.Secret.(*file.Source).Path(), []byte(srv.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := fetch(t, s, nil); err != nil {
		t.Errorf("the new secret: %v", err)
	}
}

// 441: policy chooses among what the configuration has, and nothing else.
func TestChosenScopes(t *testing.T) {
	srv, o := server(t)
	o.Scopes, o.Choose, o.Audience = []string{"read", "write"}, []string{"scope", "audience"}, "all"
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := fetch(t, s, credentials.Params{"scope": "read", "audience": "one"}); err != nil || !strings.HasSuffix(got, "-read") || srv.Forms()[0].Get("audience") != "one" {
		t.Errorf("%q, %v", got, err)
	}
	for _, p := range []credentials.Params{{"scope": "read admin"}, {"scope": ""}, {"scope": " "}, {"audience": ""}} {
		if got, _, err := fetch(t, s, p); err == nil {
			t.Errorf("%v: %q", p, got)
		}
	}
	if asked, _ := srv.Counts(); asked != 1 {
		t.Errorf("%d requests", asked)
	}
}

// 124, 440: whatever an endpoint answers, it is waited for no longer than is said,
// nothing of what it says is repeated, and it is followed nowhere.
func TestBadEndpoints(t *testing.T) {
	srv, o := server(t)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for how, want := range map[string]string{tokens.Hung: "deadline exceeded", tokens.Trickle: "", tokens.Down: "answered 503 temporarily_unavailable", tokens.Cut: "breaks off",
		tokens.Huge: "longer than 65536 bytes", tokens.Malformed: "no object of JSON", tokens.Twice: "says a name twice", tokens.Ended: "no seconds in expires_in", tokens.Wrong: "not of type Bearer",
		tokens.Lines: "line break", tokens.Away: "redirects are not followed", tokens.Echo: "answered 400"} {
		srv.Answer(how)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		start := time.Now()
		v, err := s.Fetch(ctx, nil)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) || v.Secret.Equal(v.Secret) {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s took %s", how, took)
		}
		for _, secret := range []string{"client-secret", "client_credentials", "token-", "Basic ", "X-Evil"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s is told: %v", how, err)
			}
		}
	}
	srv.Answer(tokens.Good)
	if _, _, err := fetch(t, s, nil); err != nil {
		t.Error(err)
	}
}

// 442: each refresh token is shown once, whoever asks when, and is on the disk
// before what came with it is used.
func TestRefreshTokens(t *testing.T) {
	srv, o := server(t)
	dir := t.TempDir()
	given := secret(t, "given", "refresh-token-0")
	o.Grant, o.Given, o.Keep = RefreshToken, given, NewKeep(filepath.Join(dir, "credentials"), srv.URL, "x")
	begin := func() *Source {
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// Two processes over one directory, four at once in each.
	done := make(chan error)
	for _, s := range []*Source{begin(), begin()} {
		for range 4 {
			go func() { _, err := s.Fetch(t.Context(), nil); done <- err }()
		}
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := srv.Spent(); n != 0 || len(srv.Forms()) != 8 {
		t.Errorf("%d were shown again, %d granted", n, len(srv.Forms()))
	}
	if st, err := os.Stat(o.Keep.path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	// After a restart the newest is shown, not what was given.
	s := begin()
	if got, _, err := fetch(t, s, nil); err != nil || got != "access-token-9-" {
		t.Errorf("%q, %v", got, err)
	}
	// What cannot be kept is not used, and is kept first at the next try.
	away := filepath.Join(dir, "away")
	srv.During = func() { _ = os.Rename(filepath.Dir(o.Keep.path), away) }
	if got, _, err := fetch(t, s, nil); err == nil || !strings.Contains(err.Error(), "cannot be kept") || strings.Contains(err.Error(), "refresh-token") {
		t.Errorf("%q, %v", got, err)
	}
	srv.During = nil
	if err := os.Rename(away, filepath.Dir(o.Keep.path)); err != nil {
		t.Fatal(err)
	}
	if got, _, err := fetch(t, s, nil); err != nil || got != "access-token-11-" || srv.Spent() != 0 {
		t.Errorf("%q, %v", got, err)
	}
	// The operator gives another.
	if err := os.WriteFile(given.Path(), []byte("refresh-token-of-another-login"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := fetch(t, s, nil); err == nil || !strings.HasSuffix(err.Error(), "answered 400 invalid_grant") || srv.Spent() != 1 {
		t.Errorf("another one that was given: %v", err)
	}
	// What is no file of ours is not taken for one.
	if err := os.WriteFile(o.Keep.path, []byte("refresh-token-scribbled"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := fetch(t, s, nil); err == nil || strings.Contains(err.Error(), "scribbled") {
		t.Errorf("a file that is none: %v", err)
	}
}

// What is said wrongly is an error before anything is asked.
func TestWrongOptions(t *testing.T) {
	_, good := server(t)
	_, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	pem, _ := key(t)
	sign := &Assertion{Signer: assertion.Signer{Key: pem}, Issuer: "x"}
	for name, change := range map[string]func(*Options){
		"a grant":                  func(o *Options) { o.Grant = "password" },
		"auth":                     func(o *Options) { o.Auth = "digest" },
		"no secret":                func(o *Options) { o.Secret = nil },
		"no client":                func(o *Options) { o.ClientID = "" },
		"nothing to refresh":       func(o *Options) { o.Grant = RefreshToken },
		"nothing that is signed":   func(o *Options) { o.Grant = JWTBearer },
		"signed and ready":         func(o *Options) { o.Grant, o.Signer, o.Given = JWTBearer, sign, pem },
		"nothing to exchange":      func(o *Options) { o.Grant = TokenExchange },
		"a key for nothing":        func(o *Options) { o.Signer = sign },
		"a token for nothing":      func(o *Options) { o.Given = pem },
		"a type for nothing":       func(o *Options) { o.WantedType = "x" },
		"no key":                   func(o *Options) { o.Auth, o.Secret = AuthSigned, nil },
		"a choice that is unknown": func(o *Options) { o.Choose = []string{"client_id"} },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, a := range map[string]*Assertion{"no issuer": {Signer: sign.Signer}, "a claim of ours": {Signer: sign.Signer, Issuer: "x", Claims: map[string]string{"exp": "1"}}, "no key": {Signer: assertion.Signer{Key: secret(t, "x", "no key at all")}, Issuer: "x"}} {
		if err := a.Check(t.Context(), true); err == nil || strings.Contains(err.Error(), "no key at all") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
