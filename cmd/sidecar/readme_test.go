package sidecar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/config"
	"sallyport/credentials"
)

// What the README shows is a configuration that is taken.
func TestReadmeConfiguration(t *testing.T) {
	t.Setenv("GITHUB_TOKEN", "x-token-of-the-test")
	f, err := config.Parse("../../sallyport.yaml", []byte(configured(t, "../../README.md")))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(t.Context(), "../../sallyport.yaml", f, &credentials.Shared{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.policies) != 2 || len(p.names) != 1 {
		t.Errorf("%d policies, %d credentials", len(p.policies), len(p.names))
	}
}

// The configuration of the guide, with what it names, is taken.
func TestGuideConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sallyport.yaml")
	text := configured(t, "../../docs/sidecar.md")
	for name, content := range map[string]string{
		"sallyport.yaml": strings.Replace(text, "user: sallyport ", "user: 65533 ", 1), "secrets/github": "x-token-of-the-test", "secrets/orders": "x-key-of-the-test", "secrets/ci": "x-token-of-a-client-that-is-long-enough", "secrets/via": strings.Repeat("k", 32),
		"policies/packages/p.rego": "package egress\n\nallow if input.destination.host == \"pypi.org\"\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "policies", "github"), os.DirFS("../../policies/examples/github")); err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(t.Context(), file, f, &credentials.Shared{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.sandboxes) != 4 || len(p.names) != 2 {
		t.Errorf("%d sandboxes, %d credentials", len(p.sandboxes), len(p.names))
	}
}

// configured is the first configuration that a page shows.
func configured(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "```yaml\n")
	if !ok {
		t.Fatalf("%s shows none", page)
	}
	shown, _, _ := strings.Cut(after, "```")
	return shown
}

// The sinks of the page about the log are taken, with the files that they name.
func TestAuditPage(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"search": "a-key", "splunk": "a-token", "hook": strings.Repeat("k", 32)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.ReplaceAll(configured(t, "../../docs/audit.md"), "/etc/sallyport/secrets", dir)
	text = strings.ReplaceAll(text, ", tls: {ca: /etc/sallyport/logs.pem}", "")
	f, err := config.Parse("sallyport.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, bad := &plan{file: f}, &config.Problems{}
	p.readSinks(bad, func(s string) string { return s })
	if err := bad.Err(); err != nil || len(p.sinks) != 6 {
		t.Fatal(err, len(p.sinks))
	}
}
