package rego

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const allowAll = "package egress\n\nallow := true\n"

// What is not read may deny: a policy of which a part would be passed over is
// not taken.
func TestNothingIsPassedOver(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.rego")
	if err := os.WriteFile(outside, []byte("package egress\n\ndeny contains \"no\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		prepare func(dir string) error
		want    string // "" is taken
	}{
		"as it is":          {func(string) error { return nil }, ""},
		"a link to a file":  {func(d string) error { return os.Symlink(outside, filepath.Join(d, "b.rego")) }, "leads out of the policy's directory"},
		"a link to a place": {func(d string) error { return os.Symlink(filepath.Dir(outside), filepath.Join(d, "sub")) }, "leads out of the policy's directory"},
		"a link to nothing": {func(d string) error { return os.Symlink("nothing", filepath.Join(d, "b.rego")) }, "leads nowhere"},
		"a link inside":     {func(d string) error { return os.Symlink("a.rego", filepath.Join(d, "data")) }, ""},
		"upper case":        {func(d string) error { return os.WriteFile(filepath.Join(d, "b.REGO"), nil, 0o644) }, "end in .rego, in lower case"},
		"no phase of its own": {func(d string) error {
			return os.WriteFile(filepath.Join(d, "b.rego"), []byte("package egres\n\ndeny contains \"no\"\n"), 0o644)
		}, "is package egress meant?"},
		"a helper": {func(d string) error {
			return os.WriteFile(filepath.Join(d, "b.rego"), []byte("package lib\n\nhosts := {\"a\"}\n"), 0o644)
		}, ""},
		"phase message": {func(d string) error {
			return os.WriteFile(filepath.Join(d, "b.rego"), []byte("package egress.message\n\ndeny contains \"no\"\n"), 0o644)
		}, ""},
	} {
		dir := filepath.Join(t.TempDir(), "policy")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a.rego"), []byte(allowAll), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := c.prepare(dir); err != nil {
			t.Fatal(err)
		}
		for _, d := range []string{dir, dir + "-link"} {
			if d != dir {
				if err := os.Symlink(dir, d); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Load(t.Context(), Options{Name: "x", Dir: d})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s in %s: %v, want %q", name, filepath.Base(d), err, c.want)
			}
		}
	}
}
