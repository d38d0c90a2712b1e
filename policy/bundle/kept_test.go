package bundle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is kept is read as it was written, or not at all.
func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundles")
	if k, err := ReadKept(dir, "a/../b", 100); k != nil || err != nil {
		t.Fatalf("%+v, %v", k, err)
	}
	for _, b := range []string{"first", "second\nwith a line"} {
		if err := Keep(dir, &Kept{Policy: "a/../b", Source: "https://x", ETag: `"1"`, Digest: "d", Bytes: []byte(b)}); err != nil {
			t.Fatal(err)
		}
		k, err := ReadKept(dir, "a/../b", 100)
		if err != nil || string(k.Bytes) != b || k.Source != "https://x" || k.ETag != `"1"` {
			t.Fatalf("%+v, %v", k, err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	path := filepath.Join(dir, files[0].Name())
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"changed": strings.Replace(string(was), "second", "seconD", 1), "cut": string(was[:len(was)-1]), "longer": string(was) + "x", "another's": strings.Replace(string(was), "a/../b", "a/../c", 1), "nothing": "", "no JSON": "x\ny"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := ReadKept(dir, "a/../b", 100); err == nil {
			t.Errorf("%s: %+v", name, k)
		}
	}
	if err := os.WriteFile(path, was, 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := ReadKept(dir, "a/../b", 10); err == nil {
		t.Errorf("more than a bundle may be: %+v", k)
	}
	if err := os.Rename(path, path+".real"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path+".real", path); err != nil {
		t.Fatal(err)
	}
	if k, err := ReadKept(dir, "a/../b", 100); err == nil {
		t.Errorf("a link: %+v", k)
	}
}
