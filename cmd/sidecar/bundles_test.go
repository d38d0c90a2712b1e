package sidecar

import (
	"os"
	"path/filepath"
	"testing"

	"sallyport/config"
	"sallyport/origin/bundles"
)

// What docs/bundles.md shows is a configuration that is taken, with what it names.
func TestBundlesConfiguration(t *testing.T) {
	dir, key := t.TempDir(), bundles.NewKey()
	files := bundles.Files{"a.rego": "package egress\n\nallow := true\n", ".manifest": `{"revision": "1"}`}
	for name, content := range map[string][]byte{
		"sallyport.yaml": []byte(configured(t, "../../docs/bundles.md")), "keys/payments.pem": []byte(key.Public),
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
	p, err := newPlan(t.Context(), filepath.Join(dir, "sallyport.yaml"), f, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.policies) != 2 || p.policies["payments"].Revision() != "1" {
		t.Errorf("%v", p.policies)
	}
}
