package sidecar

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"sallyport/audit"
	"sallyport/config"
	"sallyport/credentials"
	"sallyport/dest"
	"sallyport/origin/bundles"
	"sallyport/policy"
	"sallyport/policy/bundle"
	"sallyport/sandbox"
)

// A taker is a sidecar without a proxy, of a policy that lets all pass and of one
// that is fetched.
type taker struct {
	*sidecar
	feed *feed
}

func newTaker(t *testing.T, dir string) *taker {
	t.Helper()
	log, err := audit.Open(filepath.Join(dir, "log"), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	f, err := config.Parse(filepath.Join(dir, "x.yaml"), []byte("state: state\npolicies: [{name: all, dir: all}, {name: web, url: \"https://127.0.0.1:1/\"}]\ndefault_policy: [all, web]\n"))
	if err != nil {
		t.Fatal(err)
	}
	fs := &feeds{}
	p, err := newPlan(t.Context(), filepath.Join(dir, "x.yaml"), f, &credentials.Shared{}, fs)
	if err != nil {
		t.Fatal(err)
	}
	out := &taker{feed: p.feeds["web"]}
	out.sidecar = newSidecar(f, nil, newJournal(log, newMeter(func() *sidecar { return out.sidecar })), nil, &keyring{}, p, nil)
	out.feeds, out.log = fs, zerolog.Nop()
	fs.by["web"] = out.feed
	return out
}

// passes asks about a request of a sandbox with both.
func (s *taker) passes(t *testing.T) bool {
	t.Helper()
	a, err := dest.ParseAddr("api.example.com:443")
	if err != nil {
		t.Fatal(err)
	}
	sb := &sandbox.Sandbox{ID: "s", Name: "s", Policy: []string{"all", "web"}}
	return s.plan.Load().layers(sb).Decide(t.Context(), &policy.Question{Phase: policy.Request, Sandbox: sb, Destination: policy.Destination{Addr: a, Scheme: "https"}, Request: &policy.RequestFacts{Method: "GET", Path: "/"}}).Granted()
}

// hostile 85, 87, 401: what is not there yet lets nothing pass, beside whatever there
// is; what is older, also than what was kept over a restart, or asks for what there
// is not, changes nothing.
func TestTake(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "all"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "all", "p.rego"), []byte("package egress\n\nallow := true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newTaker(t, dir)
	if s.passes(t) {
		t.Error("something passes before there is a policy")
	}
	take := func(revision, rules string) (code bundle.Code) {
		t.Helper()
		b := bundles.Files{"p.rego": "package egress\n\n" + rules, ".manifest": `{"revision": "` + revision + `"}`}.Pack()
		var e *bundle.Error
		err := s.take(t.Context(), s.feed, &bundle.Bundle{Bytes: b})
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
		if e != nil {
			code = e.Code
		}
		return code
	}
	const yes, no = "allow := true\n", "allow if input.request.method == \"PUT\"\n"
	if c := take("2", yes); c != "" || !s.passes(t) {
		t.Fatalf("the first: %q", c)
	}
	refused := func() {
		t.Helper()
		for _, x := range []struct {
			revision, rules string
			want            bundle.Code
		}{
			{"1", no, bundle.OldOne}, {"2", no, bundle.OldOne}, {"", no, bundle.OldOne},
			{"3", no + "\ncredentials contains \"x\"\n", bundle.Unfit}, {"3", "dney contains \"x\"\n", bundle.BadPolicy},
		} {
			if c := take(x.revision, x.rules); c != x.want || !s.passes(t) || s.plan.Load().policies["web"].Revision() != "2" {
				t.Errorf("revision %q with %q: %q, passes %v", x.revision, x.rules, c, s.passes(t))
			}
		}
	}
	refused()
	if err := s.records.Close(); err != nil {
		t.Fatal(err)
	}
	s = newTaker(t, dir)
	if !s.passes(t) || !s.feed.restored {
		t.Error("what was kept is not in force")
	}
	refused()
	if c := take("3", no); c != "" || s.passes(t) {
		t.Errorf("the newer one: %q", c)
	}
	s.feed.by.rollback = true
	if c := take("1", yes); c != "" || !s.passes(t) {
		t.Errorf("an older one that may be: %q", c)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "state", "bundles", "*.bundle"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("%v, %v", kept, err)
	}
	if b, err := os.ReadFile(kept[0]); err != nil || !strings.Contains(string(b[:200]), `"policy":"web"`) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(kept[0], []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.records.Close(); err != nil {
		t.Fatal(err)
	}
	if s = newTaker(t, dir); s.passes(t) || s.feed.failed == nil {
		t.Error("what was changed is in force")
	}
}
