package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A directory below one that everybody may write is refused, however it is named.
func TestFirmDirectories(t *testing.T) {
	base := t.TempDir()
	open := filepath.Join(base, "open")
	if err := os.MkdirAll(filepath.Join(open, "a", "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(open, "a", "state"), filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(base)
	for mode, want := range map[os.FileMode]string{0o755: "", 0o777 | os.ModeSticky: "", 0o777: "state: everybody may write the directory " + open} {
		if err := os.Chmod(open, mode); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{filepath.Join(open, "a", "state"), filepath.Join(open, "new"), filepath.Join(base, "link"), "open/a/state"} {
			err := prepareDirectory("state", dir, 0o700, nil, nil)
			if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v: %s: %v", mode, dir, err)
			}
		}
	}
}
