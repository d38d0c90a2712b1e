package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// block returns the nth block of a language in a page, from 0 on.
func block(t *testing.T, page, language string, n int) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "```"+language+"\n")
	if len(parts) < n+2 {
		t.Fatalf("%s has no block %d of %s", page, n, language)
	}
	out, _, _ := strings.Cut(parts[n+1], "```")
	return out
}

// The policy of the README and the test of the guide belong together, and pass.
func TestExamplePolicy(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"policy.rego": block(t, "../../README.md", "rego", 0), "policy_test.rego": block(t, "../../policies/README.md", "rego", 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"policy", "check", "--strict", dir}, {"policy", "test", dir}} {
		if out, said, code := beside(t, dir, args...); code != 0 {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, out, said)
		}
	}
}
