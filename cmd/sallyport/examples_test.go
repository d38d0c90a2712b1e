package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// block returns the block of a language in a page that begins with a line.
func block(t *testing.T, page, language, line string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n"+line+"\n")
	if !found {
		t.Fatalf("%s has no block of %s that begins with %q", page, language, line)
	}
	out, _, _ := strings.Cut(rest, "```")
	return line + "\n" + out
}

// The policy of the README and the test of the guide belong together, and pass.
func TestExamplePolicy(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"policy.rego": block(t, "../../README.md", "rego", "package egress"), "policy_test.rego": block(t, "../../policies/README.md", "rego", "package egress_test")} {
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
