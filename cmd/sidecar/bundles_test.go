package sidecar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/config"
	"sallyport/credentials"
	"sallyport/origin/bundles"
)

// What docs/bundles.md shows is a configuration that is taken, with what it names.
func TestBundlesConfiguration(t *testing.T) {
	dir, key := t.TempDir(), bundles.NewKey()
	t.Setenv("REGISTRY_LOGIN", "robot:secret")
	server := bundles.Serve()
	defer server.Down()
	files := bundles.Files{"a.rego": "package egress\n\nallow := true\n", ".manifest": `{"revision": "1"}`}
	for name, content := range map[string][]byte{
		"sallyport.yaml": []byte(configured(t, "../../docs/bundles.md")), "keys/payments.pem": []byte(key.Public), "keys/ca.pem": []byte(server.CA), "keys/bundles": []byte("a-token\n"),
		"bundles/web.tar.gz": files.Pack(), "bundles/payments.tar.gz": key.Sign(files, "", "").Pack(),
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := config.Load(filepath.Join(dir, "sallyport.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(t.Context(), filepath.Join(dir, "sallyport.yaml"), f, &credentials.Shared{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.policies) != 2 || p.policies["payments"].Revision() != "1" || len(p.feeds) != 2 || len(p.lacking()) != 2 {
		t.Errorf("%v", p.policies)
	}
}

// What is wrong with a policy that is published is said at its place, without what
// may be secret.
func TestWrongPublishers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"key": bundles.NewKey().Public, "token": "a b\n", "ca": "none"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for said, want := range map[string]string{
		"url: ftp://a.example/b":                 "policies[0].url: expected https://HOST",
		"url: https:///b":                        "policies[0].url: expected https://HOST",
		"url: \"https://me:s3cret@a.example/b\"": "policies[0].url: a user and password have no place in the URL",
		"url: \"https://a.example/b#c\"":         "policies[0].url: a fragment is sent to no server",
		"url: http://a.example/b":                "whoever is on the way could put other rules in",
		"url: http://a.example/b, verify: {key: \"file:key\", algorithm: ES256}, token: \"file:key\"": "policies[0].token: whoever is on the way could read it",
		"url: https://a.example/b, token: \"file:token\"":                                             "policies[0].token: a token has visible ASCII characters only",
		"url: https://a.example/b, token: s3cret":                                                     "policies[0].token: expected env:VARIABLE or file:PATH",
		"url: https://a.example/b, ca: ca":                                                            "policies[0].url: ca:",
		"url: https://a.example/b, client_cert: key, client_key: key":                                 "policies[0].url: client_cert:",
		"url: https://a.example/b, verify: {key: \"file:key\", algorithm: none}":                      "policies[0].verify: the algorithm",
		"url: https://a.example/b, verify: {key: \"file:none\"}":                                      "policies[0].verify.key:",
		"url: oci://a.example/b":                                                                      "policies[0].url: expected oci://REGISTRY/REPOSITORY:TAG",
		"url: oci://a.example/b:c, poll: {wait: 1m}":                                                  "policies[0].poll.wait: a registry waits for nothing",
	} {
		f, err := config.Parse(filepath.Join(dir, "x.yaml"), []byte("policies: [{name: default, "+said+"}]\n"))
		if err != nil {
			t.Errorf("%s: %v", said, err)
			continue
		}
		if _, err = newPlan(t.Context(), filepath.Join(dir, "x.yaml"), f, &credentials.Shared{}, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "x.yaml:1:") {
			t.Errorf("%s: %v, expected %q", said, err, want)
		}
	}
}
