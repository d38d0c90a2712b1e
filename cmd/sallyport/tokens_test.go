package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/origin"
	"sallyport/origin/tokens"
)

// sourced starts a sidecar with the credential minted, of this source and for
// other.example.com.
func (p *place) sourced(t *testing.T, source string) *side {
	t.Helper()
	dir := filepath.Join(filepath.Dir(p.dir), "policies", "strict")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "minted.rego"), []byte("package egress\n\ncredentials contains \"minted\" if input.destination.host == \"other.example.com\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.credentials = fmt.Sprintf("  - {name: minted, source: %s, bind: \"https://%s\"}\n", source, p.at("other.example.com"))
	return p.sidecar(t, "")
}

// secret writes a file for serve alone, and returns its path.
func (p *place) secret(t *testing.T, name, text string) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(p.dir), "secrets")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if p.who.uid != 0 {
		if err := os.Chown(path, p.who.uid, p.who.uid); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// arrived are the secrets that came to the origin as bearer tokens.
func (p *place) arrived() (out []string) {
	for _, r := range p.origin.Seen() {
		if strings.HasPrefix(r.Host, "other.example.com") {
			out = append(out, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		}
	}
	return out
}

// Must show: whatever a token endpoint does, requests wait no longer than is said, it
// is asked by one at a time, nothing passes with what has ended or without what
// it should have, and all is well when it is. Hostile 124, 126.
func TestTokenEndpoints(t *testing.T) {
	tool(t, "curl", "curl")
	srv, err := tokens.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	srv.Life = 7 * time.Second // of which the last five are not used
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	s := p.sourced(t, fmt.Sprintf("{oauth2: {grant: client_credentials, token_url: %q, client_id: %s, client_secret: %q, scopes: [read], timeout: 2s}}", srv.URL, srv.Client, "file:"+p.secret(t, "client", srv.Secret)))
	const crowd = 20
	u := p.https("other.example.com", "/echo")
	burst := func() map[string]int {
		t.Helper()
		out := s.enrolled(nil, "curl -sS -m 30 --parallel --parallel-immediate --parallel-max 50 -w '%{http_code}\\n'"+strings.Repeat(" -o /dev/null "+u, crowd))
		got := map[string]int{}
		for _, c := range strings.Fields(out.stdout) {
			got[c]++
		}
		if out.code != 0 {
			t.Errorf("%+v", out)
		}
		return got
	}
	ended := func() { time.Sleep(2100 * time.Millisecond) }
	if got := burst(); got["200"] != crowd {
		t.Fatalf("%v\n%s", got, s.b.out)
	}
	for _, how := range []string{tokens.Hung, tokens.Slow, tokens.Flapping, tokens.Wrong, tokens.Huge, tokens.Malformed} {
		ended()
		before, _ := srv.Counts()
		seen := len(p.arrived())
		srv.Answer(how)
		got := burst()
		asked, most := srv.Counts()
		switch {
		case how == tokens.Slow && got["200"] != crowd:
			t.Errorf("slow: %v", got)
		case how == tokens.Flapping && got["200"]+got["503"] != crowd:
			t.Errorf("flapping: %v", got)
		case how != tokens.Slow && how != tokens.Flapping && (got["503"] != crowd || len(p.arrived()) != seen):
			t.Errorf("%s: %v, %d arrived", how, got, len(p.arrived())-seen)
		case most != 1:
			t.Errorf("%s: %d at once", how, most)
		case asked-before > 3:
			t.Errorf("%s: asked %d times", how, asked-before)
		}
		srv.Answer(tokens.Good)
		recovered := false
		for range 40 {
			if out := s.enrolled(nil, "curl -sS -o /dev/null -w '%{http_code}' "+u); out.stdout == "200" {
				recovered = true
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if !recovered {
			t.Errorf("%s: it did not recover", how)
		}
	}
	for _, token := range p.arrived() {
		if !strings.HasPrefix(token, "access-token-") {
			t.Errorf("%q arrived", token)
		}
	}
	s.stop()
	for _, text := range []string{s.b.out.String(), fmt.Sprint(p.records())} {
		for _, secret := range []string{srv.Secret, "access-token-", "token-of-another-type"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is told", secret)
			}
		}
	}
	if n := len(p.find(map[string]string{"error.type": "credential_unavailable"})); n < crowd {
		t.Errorf("%d records say why", n)
	}
}
