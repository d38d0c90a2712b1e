package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"
)

// unraced reports whether the test runs without the detector of races, which makes
// bytes several times as slow to move. If it does not, it is run once more in a binary
// without, which says how that ended, and the caller returns.
func unraced(t *testing.T) bool {
	t.Helper()
	info, ok := debug.ReadBuildInfo()
	if ok && !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return true
	}
	at := filepath.Join(t.TempDir(), "unraced.test")
	compile := exec.CommandContext(t.Context(), "go", "test", "-c", "-trimpath", "-o", at, ".")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	out, err := exec.CommandContext(t.Context(), at, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=1h").CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}
