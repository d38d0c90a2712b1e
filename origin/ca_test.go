package origin

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A CA that is kept is the same after a restart; a spoilt one is an error.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	ca := func(o Options) []byte {
		t.Helper()
		g, err := Start(o)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		return g.CAPEM()
	}
	first := ca(Options{Keep: dir})
	if again := ca(Options{Keep: dir}); !bytes.Equal(first, again) {
		t.Error("another CA after a restart")
	}
	if other := ca(Options{}); bytes.Equal(first, other) {
		t.Error("the same CA without keeping it")
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if g, err := Start(Options{Keep: dir}); err == nil {
		g.Close()
		t.Error("a spoilt key is taken")
	}
}
