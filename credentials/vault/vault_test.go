package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/credentials"
	"sallyport/credentials/endpoint"
	"sallyport/credentials/file"
)

// A server is Vault as its HTTP API is documented: KV 2, a database engine with leases,
// AppRole, Kubernetes, tokens, namespaces.
type server struct {
	mu      sync.Mutex
	tokens  map[string]bool
	leases  map[string]int // by id: how often each was renewed
	logins  int
	n       int
	last    bool // a lease lasts no longer
	revoked []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	say := func(code int, v any) {
		w.WriteHeader(code)
		if v != nil {
			_ = json.NewEncoder(w).Encode(v)
		}
	}
	deny := func(code int) {
		say(code, map[string]any{"errors": []string{"permission denied: " + r.Header.Get("X-Vault-Token")}})
	}
	var ask map[string]any
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&ask)
	}
	if r.Header.Get("X-Vault-Request") != "true" || r.Header.Get("X-Vault-Namespace") != "team" {
		deny(400)
		return
	}
	login := func() {
		s.logins++
		t := fmt.Sprintf("hvs.login-%d", s.logins)
		s.tokens[t] = true
		say(200, map[string]any{"auth": map[string]any{"client_token": t, "lease_duration": 3600, "renewable": true}})
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/auth/approle/login":
		if ask["role_id"] != "the-role" || ask["secret_id"] != "the-secret" {
			deny(400)
			return
		}
		login()
		return
	case "POST /v1/auth/cluster/login":
		if ask["role"] != "agents" || ask["jwt"] != "an-account-token" {
			deny(403)
			return
		}
		login()
		return
	}
	token := r.Header.Get("X-Vault-Token")
	if !s.tokens[token] {
		deny(403)
		return
	}
	lease := func() map[string]any {
		s.n++
		id := fmt.Sprintf("database/creds/app/%d", s.n)
		s.leases[id] = 0
		return map[string]any{"lease_id": id, "lease_duration": 100, "renewable": true, "data": map[string]any{"username": fmt.Sprintf("v-app-%d", s.n), "password": fmt.Sprintf("dynamic-password-%d", s.n)}}
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/secret/data/app":
		say(200, map[string]any{"lease_id": "", "lease_duration": 0, "renewable": false, "data": map[string]any{"data": map[string]any{"key": "a-static-secret", "user": "me", "number": 5}, "metadata": map[string]any{"version": 3}}})
	case "GET /v1/secret/data/deleted":
		say(200, map[string]any{"data": map[string]any{"data": nil, "metadata": map[string]any{"version": 3}}})
	case "GET /v1/database/creds/app":
		say(200, lease())
	case "PUT /v1/sys/leases/renew":
		id, _ := ask["lease_id"].(string)
		if _, ok := s.leases[id]; !ok {
			deny(400)
			return
		}
		s.leases[id]++
		life := 100
		if s.last {
			life = 10
		}
		say(200, map[string]any{"lease_id": id, "lease_duration": life, "renewable": true})
	case "PUT /v1/sys/leases/revoke":
		id, _ := ask["lease_id"].(string)
		delete(s.leases, id)
		s.revoked = append(s.revoked, id)
		say(204, nil)
	case "PUT /v1/auth/token/revoke-self":
		delete(s.tokens, token)
		s.revoked = append(s.revoked, token)
		say(204, nil)
	default:
		deny(404)
	}
}

func begin(t *testing.T) (*server, Options) {
	t.Helper()
	s := &server{tokens: map[string]bool{"hvs.given": true}, leases: map[string]int{}}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	at, err := endpoint.New(h.URL, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s, Options{At: at, Namespace: "team", Path: "secret/data/app", Field: "key"}
}

func secret(t *testing.T, text string) *file.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := file.NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, s *Source) (string, credentials.Value, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	v, err := s.Fetch(ctx, nil)
	var out string
	credentials.Reveal(v.Secret, func(b []byte) { out = string(b) })
	return out, v, err
}

// Each way to log in reads what is kept; a login is used until it ends or is revoked.
func TestLogins(t *testing.T) {
	srv, o := begin(t)
	given := secret(t, "hvs.given")
	for name, l := range map[string]Login{
		"token":      {Token: given},
		"approle":    {RoleID: secret(t, "the-role"), SecretID: secret(t, "the-secret")},
		"kubernetes": {Role: "agents", Account: secret(t, "an-account-token"), Mount: "cluster"},
	} {
		o.Login, o.Public = l, map[string]string{"name": "user"}
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		before := srv.logins
		for range 3 {
			got, v, err := get(t, s)
			if err != nil || got != "a-static-secret" || v.Public["name"] != "me" || !v.Expires.IsZero() {
				t.Errorf("%s: %q %v %v", name, got, v, err)
			}
		}
		if n := srv.logins - before; name != "token" && n != 1 || name == "token" && n != 0 {
			t.Errorf("%s: %d logins", name, n)
		}
		if name == "token" {
			continue
		}
		srv.mu.Lock()
		clear(srv.tokens)
		srv.mu.Unlock()
		if got, _, err := get(t, s); err != nil || got != "a-static-secret" {
			t.Errorf("%s, revoked: %q %v", name, got, err)
		}
		if err := s.Close(); err != nil || len(srv.tokens) != 0 {
			t.Errorf("%s: %v is left, %v", name, srv.tokens, err)
		}
		srv.tokens["hvs.given"] = true
		if _, _, err := get(t, s); err == nil {
			t.Errorf("%s goes on after its end", name)
		}
	}
	// A token in a file that an agent replaces.
	o.Login = Login{Token: given}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv.tokens = map[string]bool{"hvs.renewed": true}
	if _, _, err := get(t, s); err == nil || !strings.HasSuffix(err.Error(), "answered 403") || strings.Contains(err.Error(), "hvs.") {
		t.Error(err)
	}
	if err := os.WriteFile(given.Path(), []byte("hvs.renewed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(t, s); err != nil {
		t.Error(err)
	}
}

// 446: a lease is renewed near its end, replaced when it lasts no longer or another is
// wanted, and given back.
func TestLeases(t *testing.T) {
	srv, o := begin(t)
	o.Path, o.Field, o.Public = "database/creds/app", "password", map[string]string{"user": "username"}
	o.Login = Login{RoleID: secret(t, "the-role"), SecretID: secret(t, "the-secret")}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	near := func() {
		s.mu.Lock()
		s.lease.v.Expires = time.Now().Add(20 * time.Second)
		s.mu.Unlock()
	}
	step := func(what, want string) {
		t.Helper()
		got, v, err := get(t, s)
		if left := time.Until(v.Expires); err != nil || got != "dynamic-password-"+want || v.Public["user"] != "v-app-"+want || left < 90*time.Second || left > 100*time.Second {
			t.Errorf("%s: %q %v for %s, %v", what, got, v.Public, left, err)
		}
	}
	step("new", "1")
	near()
	step("renewed", "1")
	if srv.leases["database/creds/app/1"] != 1 {
		t.Errorf("%v", srv.leases)
	}
	step("another is wanted", "2")
	if _, ok := srv.leases["database/creds/app/1"]; ok {
		t.Error("the one before is not given back")
	}
	near()
	srv.last = true
	step("it lasts no longer", "3")
	near()
	srv.mu.Lock()
	clear(srv.leases)
	srv.mu.Unlock()
	step("it was revoked", "4")
	if err := s.Close(); err != nil || len(srv.leases) != 0 || srv.tokens["hvs.login-1"] {
		t.Errorf("%v, %v and %v are left", err, srv.leases, srv.tokens)
	}
}

func TestWrongSecrets(t *testing.T) {
	_, good := begin(t)
	good.Login = Login{Token: secret(t, "hvs.given")}
	for name, change := range map[string]func(*Options){
		"a version":    func(o *Options) { o.Path = "v1/secret/data/app" },
		"a way out":    func(o *Options) { o.Path = "secret/../sys/mounts" },
		"a query":      func(o *Options) { o.Path = "secret/data/app?version=1" },
		"from root":    func(o *Options) { o.Path = "/secret/data/app" },
		"no field":     func(o *Options) { o.Field = "" },
		"no login":     func(o *Options) { o.Login = Login{} },
		"two":          func(o *Options) { o.Login.Role, o.Login.Account = "x", o.Login.Token },
		"half of one":  func(o *Options) { o.Login = Login{RoleID: o.Login.Token} },
		"half another": func(o *Options) { o.Login = Login{Role: "x"} },
		"a second one": func(o *Options) { o.Namespace = "team\r\nX: y" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, change := range map[string]func(*Options){
		"deleted": func(o *Options) { o.Path = "secret/data/deleted" }, "nowhere": func(o *Options) { o.Path = "secret/data/none" }, "no such field": func(o *Options) { o.Field = "none" },
		"a number": func(o *Options) { o.Field = "number" }, "another namespace": func(o *Options) { o.Namespace = "" },
	} {
		o := good
		change(&o)
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := get(t, s); err == nil || strings.Contains(err.Error(), "hvs.") || strings.Contains(err.Error(), "a-static") {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}
