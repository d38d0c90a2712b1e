package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
	"sallyport/origin/bundles"
)

const apiOnly = "package egress\n\nallow if input.destination.host == \"api.example.com\"\n"

// written puts a bundle into a file.
func written(t testing.TB, file string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(file+".new", b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	return file
}

// A bundle is checked, asked, tested and measured as its directory is.
func TestPolicyOfABundle(t *testing.T) {
	dir := policyDir(t, map[string]string{"README": ""})
	file := filepath.Join(dir, "web.tar.gz")
	files := bundles.Files{"p.rego": apiOnly, ".manifest": `{"revision": "2026-11-25"}`, "p_test.rego": "package egress_test\n\nimport data.sallyport\n\ntest_api if {\n\td := sallyport.egress.decision with input as {\"destination\": {\"host\": \"api.example.com\"}}\n\td.allow\n}\n"}
	written(t, file, files.Pack())
	for want, args := range map[string][]string{
		"policy/web.tar.gz: ok\n":                        {"check", "policy/web.tar.gz"},
		`"revision": "2026-11-25"`:                       {"check", "--json", "policy/web.tar.gz"},
		"allow  GET https://api.example.com/v1":          {"eval", "policy/web.tar.gz", "https://api.example.com/v1"},
		"policy/web.tar.gz: 1 passed, 0 failed":          {"test", "policy/web.tar.gz"},
		"policy/web.tar.gz  GET https://api.example.com": {"bench", "--time", "5ms", "policy/web.tar.gz"},
	} {
		if out, said, code := beside(t, dir, append([]string{"policy"}, args...)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, said)
		}
	}
	written(t, file, files.With("p.rego", "package egress\n\ndney contains \"x\" if input.request.method == \"PUT\"\n").Pack())
	out, _, code := beside(t, dir, "policy", "check", "policy/web.tar.gz")
	for _, want := range []string{"policy/web.tar.gz/p.rego:3:1: rule dney is no verb", "    3 | dney contains \"x\" if", "      = write `deny contains \"x\""} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %q is not in\n%s", code, want, out)
		}
	}
	if _, said, code := beside(t, dir, "policy", "fmt", "policy/web.tar.gz"); code == 0 || !strings.Contains(said, "format what a bundle is made of") {
		t.Errorf("exit code %d, %s", code, said)
	}
	if _, said, code := beside(t, dir, "policy", "check", "policy/README"); code != 1 || strings.Contains(said, "panic") {
		t.Errorf("exit code %d, %s", code, said)
	}
}

// A command is decided for by a bundle, which it does not see.
func TestRunByABundle(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		file := written(t, filepath.Join(p.dir, "web.tar.gz"), bundles.Files{"p.rego": apiOnly}.Pack())
		out := p.sh([]string{"--policy", file}, fmt.Sprintf("curl -sS %s; curl -sS %s; wc -c < web.tar.gz", p.https("api.example.com", "/"), p.https("other.example.com", "/")))
		if out.code != 0 || !strings.Contains(out.stdout, "default_deny") || !strings.HasSuffix(out.stdout, "0\n") || len(p.find(map[string]string{"policy.decision": "allow"})) != 1 {
			t.Errorf("%+v", out)
		}
		if out := p.sh([]string{"--policy", written(t, file, []byte("<html>"))}, "true"); out.code != codeFailed || !strings.Contains(out.stderr, "it is no bundle") {
			t.Errorf("%+v", out)
		}
	})
}

// serve takes bundles of files, with a key only signed ones; what replaces one and
// is not good leaves the one before in force.
func TestServeByABundle(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		key := bundles.NewKey()
		base := filepath.Dir(p.dir)
		dir := filepath.Join(base, "bundles")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		written(t, filepath.Join(dir, "key.pem"), []byte(key.Public))
		file := filepath.Join(dir, "signed.tar.gz")
		version := func(n int, rules string) bundles.Files {
			return bundles.Files{"p.rego": rules, ".manifest": fmt.Sprintf(`{"revision": "r%d"}`, n)}
		}
		written(t, file, key.Sign(version(1, apiOnly), "k", "").Pack())
		s := p.sidecar(t, "")
		defer s.stop()
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		s.stop()
		written(t, s.config, []byte(strings.Replace(string(text), "policies:\n", "policies:\n  - {name: signed, dir: bundles/signed.tar.gz, verify: {key: \"file:bundles/key.pem\", algorithm: ES256}}\n", 1)))
		s.begin()
		ask := func(host string) string {
			return s.enrolled([]string{"--policy", "signed", "--name", strings.ReplaceAll(host, ".", "-")}, "curl -sS "+p.https(host, "/")).stdout
		}
		if a, b := ask("api.example.com"), ask("other.example.com"); strings.Contains(a, "default_deny") || !strings.Contains(b, "default_deny") {
			t.Errorf("%s %s", a, b)
		}
		was := s.policy("signed")
		if was.Revision != "r1" || was.Digest == "" {
			t.Errorf("%+v", was)
		}
		written(t, file, version(2, "package egress\n\nallow := true\n").Pack())
		s.until("the unsigned one is not seen", func() bool { return strings.Contains(s.reasons(), "not signed as it has to be") })
		if now := s.policy("signed"); now.Digest != was.Digest || !strings.Contains(ask("other.example.com"), "default_deny") {
			t.Errorf("an unsigned one is in force: %+v", now)
		}
		written(t, file, key.Sign(version(3, "package egress\n\nallow := true\n"), "k", "").Pack())
		s.until("the signed one is not taken", func() bool { return s.policy("signed").Revision == "r3" })
		if strings.Contains(ask("other.example.com"), "default_deny") || s.reasons() != "" {
			t.Errorf("the signed one is not in force: %s", s.reasons())
		}
	})
}
