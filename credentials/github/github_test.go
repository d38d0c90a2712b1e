package github

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sallyport/credentials"
	"sallyport/credentials/assertion"
	"sallyport/credentials/endpoint"
	"sallyport/credentials/file"
)

// A hub is GitHub's endpoint as its reference has it, with one app of one installation.
type hub struct {
	key   *rsa.PublicKey
	mu    sync.Mutex
	asked []body
	lie   func(map[string]any)
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	refuse := func(code int, why string) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": why})
	}
	if r.Method != http.MethodPost || r.URL.Path != "/app/installations/42/access_tokens" || r.Header.Get("Accept") != "application/vnd.github+json" {
		refuse(404, "Not Found")
		return
	}
	t, err := jwt.Parse(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), func(*jwt.Token) (any, error) { return h.key, nil }, jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer("Iv1.app"), jwt.WithIssuedAt(), jwt.WithExpirationRequired())
	if err != nil {
		refuse(401, "A JSON web token could not be decoded")
		return
	}
	if ends, err := t.Claims.GetExpirationTime(); err != nil || time.Until(ends.Time) > 10*time.Minute {
		refuse(401, "'Expiration time' claim ('exp') is too far in the future")
		return
	}
	var ask body
	b, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(b, &ask) != nil {
		refuse(400, "Problems parsing JSON")
		return
	}
	for _, n := range ask.Repositories {
		if !slices.Contains([]string{"web", "api", "other"}, n) {
			refuse(422, "There is at least one repository that does not exist or is not accessible to the parent installation.")
			return
		}
	}
	h.asked = append(h.asked, ask)
	out := map[string]any{"token": fmt.Sprintf("ghs_token_number_%d", len(h.asked)), "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "permissions": map[string]string{"contents": "write", "issues": "write", "metadata": "read"}, "repository_selection": "all"}
	if len(ask.Permissions) > 0 {
		p := map[string]string{"metadata": "read"}
		for k, v := range ask.Permissions {
			p[k] = v
		}
		out["permissions"] = p
	}
	if len(ask.Repositories) > 0 {
		var rs []map[string]string
		for _, n := range ask.Repositories {
			rs = append(rs, map[string]string{"name": n, "full_name": "us/" + n})
		}
		out["repositories"], out["repository_selection"] = rs, "selected"
	}
	if h.lie != nil {
		h.lie(out)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(out)
}

func begin(t *testing.T) (*hub, Options) {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "app.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := file.NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{key: &k.PublicKey}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	at, err := endpoint.New(srv.URL, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return h, Options{At: at, App: "Iv1.app", Installation: "42", Signer: assertion.Signer{Key: src}}
}

// 444: a token is for what policy chose, within what the configuration has, and one
// that is for more is not used.
func TestTokensAreNarrow(t *testing.T) {
	h, o := begin(t)
	o.Repositories, o.Permissions = []string{"web", "api"}, map[string]string{"contents": "write", "issues": "read"}
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	get := func(p credentials.Params) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		v, err := s.Fetch(ctx, p)
		if err == nil && (time.Until(v.Expires) < 59*time.Minute || !v.Secret.Equal(v.Secret)) {
			t.Errorf("%v ends at %s", p, v.Expires)
		}
		return err
	}
	for _, c := range []struct {
		p    credentials.Params
		want string
	}{
		{nil, `{"repositories":["web","api"],"permissions":{"contents":"write","issues":"read"}}`},
		{credentials.Params{"repository": "web"}, `{"repositories":["web"],"permissions":{"contents":"write","issues":"read"}}`},
		{credentials.Params{"repositories": "api web", "permissions": "contents=read"}, `{"repositories":["api","web"],"permissions":{"contents":"read"}}`},
	} {
		if err := get(c.p); err != nil {
			t.Errorf("%v: %v", c.p, err)
			continue
		}
		if b, _ := json.Marshal(h.asked[len(h.asked)-1]); string(b) != c.want {
			t.Errorf("%v: %s", c.p, b)
		}
	}
	n := len(h.asked)
	for _, p := range []credentials.Params{{"repository": "other"}, {"repository": "us/web"}, {"repository": ""}, {"repositories": " "}, {"repository": ".."}, {"repository": "web", "repositories": "api"},
		{"permissions": "issues=write"}, {"permissions": "contents=admin"}, {"permissions": "secrets=read"}, {"permissions": ""}, {"permissions": "contents"}, {"permissions": "contents=read contents=write"}} {
		if err := get(p); err == nil {
			t.Errorf("%v is taken", p)
		}
	}
	if len(h.asked) != n {
		t.Error("what may not be is asked for")
	}
	for name, lie := range map[string]func(map[string]any){
		"more permissions":  func(m map[string]any) { m["permissions"].(map[string]string)["secrets"] = "write" },
		"a higher level":    func(m map[string]any) { m["permissions"].(map[string]string)["issues"] = "write" },
		"all repositories":  func(m map[string]any) { m["repository_selection"] = "all" },
		"another one":       func(m map[string]any) { m["repositories"] = []map[string]string{{"name": "secret"}} },
		"nothing about it":  func(m map[string]any) { delete(m, "repositories") },
		"no end":            func(m map[string]any) { delete(m, "expires_at") },
		"a token with line": func(m map[string]any) { m["token"] = "ghs_a\r\nX: y" },
	} {
		h.lie = lie
		if err := get(nil); err == nil || strings.Contains(err.Error(), "ghs_") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWrongApps(t *testing.T) {
	_, good := begin(t)
	for name, change := range map[string]func(*Options){
		"no app":        func(o *Options) { o.App = "" },
		"a name":        func(o *Options) { o.Installation = "us" },
		"with an owner": func(o *Options) { o.Repositories = []string{"us/web"} },
		"a level":       func(o *Options) { o.Permissions = map[string]string{"contents": "all"} },
	} {
		o := good
		change(&o)
		if _, err := New(t.Context(), o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	good.App = "another"
	s, err := New(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(t.Context(), nil); err == nil || !strings.HasSuffix(err.Error(), "answered 401") {
		t.Errorf("an app that is not known: %v", err)
	}
}
