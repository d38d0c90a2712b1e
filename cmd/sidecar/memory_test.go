package sidecar

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryOf(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"memory.max": "max\n", "a/memory.max": "300000000\n", "a/b/memory.max": "max\n", "a/c/memory.max": "200000000\n", "bad/memory.max": "many\n", "zero/memory.max": "0\n", "b/memory.max": "150000000\n", "b/c/memory.max": "400000000\n",
		"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/x/memory.limit_in_bytes": "100000000\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for self, want := range map[string]int64{
		"0::/\n":                        0,
		"0::/a\n":                       300000000,
		"0::/a/b\n":                     300000000, // of the one above
		"0::/a/c\n":                     200000000,
		"0::/a/gone/deeper\n":           300000000,
		"0::/b/c\n":                     150000000,
		"0::/bad\n":                     0,
		"0::/zero\n":                    0,
		"0::/../../a\n":                 300000000,
		"5:memory:/x\n0::/\n":           100000000,
		"5:memory:/x/y\n4:cpu:/a\n0::/": 100000000,
		"5:memory:/\n0::/a\n":           300000000,
		"":                              0,
		"nonsense\n":                    0,
	} {
		if got := memoryOf(root, self); got != want {
			t.Errorf("%q: %d, want %d", self, got, want)
		}
	}
}

// What the environment says of memory is left as it is.
func TestMemoryLimitOfTheEnvironment(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "1GiB")
	if n := limitMemory(); n != 0 {
		t.Errorf("GOMEMLIMIT is overruled: %d", n)
	}
}
