package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What init writes is taken, tested and answers, and nothing is written over.
func TestPolicyInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"policy", "init", "new"}, "new/policy/egress_test.rego"},
		{[]string{"policy", "check", "--strict", "new/policy"}, "new/policy: ok"},
		{[]string{"policy", "fmt", "--check", "new"}, ""},
		{[]string{"policy", "test", "--min", "100", "new/policy"}, "3 passed, 0 failed"},
		{[]string{"policy", "eval", "new/policy", "--label", "team=web", "https://api.example.com/v1/items"}, "allow"},
	} {
		if out, said, code := beside(t, dir, c.args...); code != 0 || !strings.Contains(out, c.want) {
			t.Fatalf("%v: exit code %d\n%s%s", c.args, code, out, said)
		}
	}
	mine := filepath.Join(dir, "policy", "egress.rego")
	if err := os.WriteFile(mine, []byte("package mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "schema", "dial.json")); err != nil {
		t.Fatal(err)
	}
	_, said, code := beside(t, dir, "policy", "init", "new")
	text, err := os.ReadFile(mine)
	if _, gone := os.Stat(filepath.Join(dir, "schema", "dial.json")); code != codeFailed || !strings.Contains(said, "is there already: nothing was written") || err != nil || string(text) != "package mine\n" || gone == nil {
		t.Errorf("exit code %d, %s, %q, %v", code, said, text, err)
	}
}
