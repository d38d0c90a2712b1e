package gcp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sallyport/credentials"
	"sallyport/credentials/endpoint"
	"sallyport/credentials/file"
)

// cloudServer is Google's token endpoint and its IAM credentials API as their references
// have them, with one account.
func cloudServer(t *testing.T, key *rsa.PublicKey) string {
	t.Helper()
	var at string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		say := func(code int, v any) { w.WriteHeader(code); _ = json.NewEncoder(w).Encode(v) }
		b, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/token" {
			form, err := url.ParseQuery(string(b))
			t, err2 := jwt.Parse(form.Get("assertion"), func(*jwt.Token) (any, error) { return key, nil }, jwt.WithValidMethods([]string{"RS256"}), jwt.WithAudience(at+"/token"), jwt.WithIssuer("agents@project.iam.gserviceaccount.com"), jwt.WithExpirationRequired())
			if err != nil || err2 != nil || form.Get("grant_type") != grant || t.Header["kid"] != "key-1" {
				say(400, map[string]string{"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
				return
			}
			c := t.Claims.(jwt.MapClaims)
			if a, ok := c["target_audience"].(string); ok {
				say(200, map[string]string{"id_token": "id-token-for-" + a})
				return
			}
			scope, _ := c["scope"].(string)
			say(200, map[string]any{"access_token": "ya29." + scope, "expires_in": 3599, "token_type": "Bearer"})
			return
		}
		var ask struct {
			Scope              []string
			Lifetime, Audience string
		}
		if r.Header.Get("Authorization") != "Bearer ya29."+cloud || json.Unmarshal(b, &ask) != nil {
			say(403, map[string]any{"error": map[string]any{"code": 403, "status": "PERMISSION_DENIED"}})
			return
		}
		switch r.URL.Path {
		case "/v1/projects/-/serviceAccounts/other@project.iam.gserviceaccount.com:generateAccessToken":
			say(200, map[string]string{"accessToken": "ya29.other." + strings.Join(ask.Scope, " ") + "." + ask.Lifetime, "expireTime": time.Now().Add(10 * time.Minute).UTC().Format(time.RFC3339)})
		case "/v1/projects/-/serviceAccounts/other@project.iam.gserviceaccount.com:generateIdToken":
			say(200, map[string]string{"token": "other-id-token-for-" + ask.Audience})
		default:
			say(404, map[string]any{"error": map[string]any{"code": 404}})
		}
	}))
	t.Cleanup(srv.Close)
	at = srv.URL
	return at
}

// Access and ID tokens of an account, and of one for which it may act; policy chooses
// among scopes.
func TestAccounts(t *testing.T) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	at := cloudServer(t, &k.PublicKey)
	path := filepath.Join(t.TempDir(), "key.json")
	put := func(change func(map[string]string)) {
		t.Helper()
		m := map[string]string{"type": "service_account", "project_id": "project", "private_key_id": "key-1", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "client_email": "agents@project.iam.gserviceaccount.com", "token_uri": at + "/token"}
		change(m)
		b, _ := json.Marshal(m)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(func(map[string]string) {})
	src, err := file.NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	iam, err := endpoint.New(at, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	open := func(u string) (*endpoint.Endpoint, error) { return endpoint.New(u, endpoint.Options{}) }
	access := Options{Key: src, Scopes: []string{"read", "write"}, Open: open}
	token := Options{Key: src, Audience: "https://run.example", Open: open}
	other, otherID := access, token
	other.Account, other.IAM, other.Life = "other@project.iam.gserviceaccount.com", iam, 10*time.Minute
	otherID.Account, otherID.IAM = other.Account, iam
	get := func(o Options, p credentials.Params) (string, error) {
		t.Helper()
		s, err := New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		v, err := s.Fetch(ctx, p)
		var out string
		credentials.Reveal(v.Secret, func(b []byte) { out = string(b) })
		if err == nil && (v.Expires.IsZero() || time.Until(v.Expires) > time.Hour) {
			t.Errorf("%s ends at %s", out, v.Expires)
		}
		return out, err
	}
	for _, c := range []struct {
		o    Options
		p    credentials.Params
		want string
	}{
		{access, nil, "ya29.read write"},
		{access, credentials.Params{"scope": "read"}, "ya29.read"},
		{token, nil, "id-token-for-https://run.example"},
		{token, credentials.Params{"audience": "https://a.example"}, "id-token-for-https://a.example"},
		{other, nil, "ya29.other.read write.600s"},
		{other, credentials.Params{"scope": "write"}, "ya29.other.write.600s"},
		{otherID, nil, "other-id-token-for-https://run.example"},
	} {
		if got, err := get(c.o, c.p); err != nil || got != c.want {
			t.Errorf("%q, not %q: %v", got, c.want, err)
		}
	}
	for _, p := range []credentials.Params{{"scope": "admin"}, {"scope": ""}} {
		if got, err := get(access, p); err == nil {
			t.Errorf("%v: %q", p, got)
		}
	}
	unknown := other
	unknown.Account = "nobody@project.iam.gserviceaccount.com"
	if _, err := get(unknown, nil); err == nil || !strings.HasSuffix(err.Error(), "answered 404") {
		t.Error(err)
	}
	put(func(m map[string]string) { m["private_key_id"] = "key-0" })
	if _, err := get(access, nil); err == nil || !strings.HasSuffix(err.Error(), "answered 400 invalid_grant") {
		t.Error(err)
	}
	for name, change := range map[string]func(map[string]string){
		"another type":   func(m map[string]string) { m["type"] = "authorized_user" },
		"no key":         func(m map[string]string) { m["private_key"] = "hush-hush" },
		"no email":       func(m map[string]string) { delete(m, "client_email") },
		"an open server": func(m map[string]string) { m["token_uri"] = "http://oauth2.example/token" },
	} {
		put(change)
		if _, err := New(t.Context(), access); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]Options{"nothing": {Key: src, Open: open}, "both": {Key: src, Open: open, Scopes: []string{"a"}, Audience: "b"}, "long": {Key: src, Open: open, Scopes: []string{"a"}, Life: 24 * time.Hour}} {
		if _, err := New(t.Context(), o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
