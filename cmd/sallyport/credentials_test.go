package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/origin"
	"sallyport/origin/tokens"
)

// What an operator says of a credential: asked anew, fetched anew, given to nobody any
// more, over reloads and restarts, with what is open cut. Hostile 449.
func TestCredentialCommands(t *testing.T) {
	tool(t, "curl", "curl")
	srv, err := tokens.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	var mu sync.Mutex
	var seen []string
	p := newPlace(t, callers()[len(callers())-1], origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Header.Get("Authorization"))
		mu.Unlock()
		for r.URL.Path == "/stream" && r.Context().Err() == nil {
			_, _ = io.WriteString(w, "tick\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})})
	arrived := func() int { mu.Lock(); defer mu.Unlock(); return len(seen) }
	last := func() string {
		mu.Lock()
		defer mu.Unlock()
		if len(seen) == 0 {
			return ""
		}
		return seen[len(seen)-1]
	}
	s := p.sourced(t, fmt.Sprintf("{oauth2: {grant: client_credentials, token_url: %q, client_id: %s, client_secret: %q}}", srv.URL, srv.Client, "file:"+p.secret(t, "client", srv.Secret)))
	u := p.https("other.example.com", "/x")
	ask := func(args ...string) output { t.Helper(); return p.exec(append(args, "--control", s.control)...) }
	code := func() string {
		t.Helper()
		return s.enrolled(nil, "curl -sS -o /dev/null -w '%{http_code}' "+u).stdout
	}
	if got := code(); got != "200" || last() != "Bearer access-token-1-" {
		t.Errorf("%s, %q", got, last())
	}
	out := ask("credential", "check")
	for _, want := range []string{"api: ready\n  from  env:TOKEN\n", "minted: ready\n", "  from  oauth2:sallyport@" + srv.URL + "\n", "  as    bearer in header:Authorization\n", "  at    https://" + p.at("other.example.com") + "\n  until "} {
		if !strings.Contains(out.stdout, want) {
			t.Errorf("%q is not in %+v", want, out)
		}
	}
	if len(srv.Forms()) != 2 || out.code != 0 {
		t.Errorf("check asked %d times: %+v", len(srv.Forms()), out)
	}
	srv.Answer(tokens.Down)
	if down := ask("credential", "check"); down.code != 1 || !strings.Contains(down.stdout, "minted: unavailable: "+srv.URL+" answered 503 temporarily_unavailable\n") || code() != "200" || last() != "Bearer access-token-2-" {
		t.Errorf("what is kept goes on to be used: %+v, %q", down, last())
	}
	srv.Answer(tokens.Good)
	if out = ask("credential", "rotate", "minted"); out.code != 0 || code() != "200" || last() != "Bearer access-token-3-" {
		t.Errorf("%+v, %q", out, last())
	}
	if out = ask("credential", "rotate", "none"); out.code != codeFailed || !strings.Contains(out.stderr, "there is no such credential") {
		t.Errorf("%+v", out)
	}
	// Revoked: what is open ends, and nothing begins.
	b := s.spawn(t, binary, "run", "--sidecar", s.control, "--", "/bin/sh", "-c", "curl -sSN "+p.https("other.example.com", "/stream")+"; echo ended with $?")
	b.until("tick")
	n := len(p.find(map[string]string{"event.name": "egress.request.complete"}))
	if out = ask("credential", "revoke", "minted"); out.code != 0 || !strings.Contains(out.stdout, "minted: revoked: it was revoked: sallyport credential rotate minted gives a new one") {
		t.Errorf("%+v", out)
	}
	b.until("ended with")
	if e := p.find(map[string]string{"event.name": "egress.request.complete", "error.type": "policy_changed"}); len(e) != 1 || n == 0 {
		t.Errorf("%d were cut", len(e))
	}
	refused := func(when string) {
		t.Helper()
		before := arrived()
		if got := code(); got != "503" || arrived() != before {
			t.Errorf("%s: %s, %d arrived", when, got, arrived()-before)
		}
	}
	refused("revoked")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, append(text, "# again\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	s.b.until("the configuration was read again")
	refused("after a reload")
	s.stop()
	s.begin()
	refused("after a restart")
	if ls := ask("credential", "ls"); ls.code != 1 || !strings.Contains(ls.stdout, "revoked") {
		t.Errorf("%+v", ls)
	}
	if out = ask("credential", "rotate", "minted"); out.code != 0 || code() != "200" {
		t.Errorf("%+v", out)
	}
	for _, a := range []string{"credential.revoke", "credential.rotate"} {
		if e := p.find(map[string]string{"event.name": "egress.control.change", "detail.action": a, "detail.credential": "minted"}); len(e) == 0 {
			t.Errorf("no record of %s", a)
		}
	}
	s.stop()
}
