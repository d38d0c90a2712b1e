package sidecar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Where others can put something in the place of a socket none is made.
func TestSocketsAreOurs(t *testing.T) {
	dir := t.TempDir()
	shared := filepath.Join(dir, "shared")
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := unixListener("unix", filepath.Join(shared, "x.sock"), 0o600, -1); err == nil || !strings.Contains(err.Error(), "others can write the directory") {
		t.Errorf("in a shared directory: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := unixListener("unix", file, 0o600, -1); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("in the place of a file: %v", err)
	}
	l, err := unixListener("unix", filepath.Join(dir, "x.sock"), 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := unixListener("unix", filepath.Join(dir, "x.sock"), 0o600, -1); err == nil || !strings.Contains(err.Error(), "is served by another process") {
		t.Errorf("in the place of one that is served: %v", err)
	}
}
