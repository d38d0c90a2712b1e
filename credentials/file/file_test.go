package file

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/credentials"
)

func secret(t *testing.T, s string) credentials.Secret {
	t.Helper()
	out, err := credentials.NewSecret([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A secret that is replaced is read again, as mounted secrets are replaced: by a
// link that changes.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to string) {
		t.Helper()
		tmp := filepath.Join(dir, "tmp")
		if err := os.Symlink(to, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, "token")); err != nil {
			t.Fatal(err)
		}
	}
	write("1", "first-token\r\n")
	write("2", "second-token")
	link("1")
	s, err := New(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]bool{}
	for _, c := range []struct{ to, want string }{{"1", "first-token"}, {"2", "second-token"}, {"1", "first-token"}} {
		link(c.to)
		for range 2 {
			v, err := s.Fetch(t.Context(), nil)
			if err != nil || !v.Secret.Equal(secret(t, c.want)) {
				t.Fatalf("%s: %v", c.to, err)
			}
			versions[v.Version] = true
		}
	}
	if len(versions) != 3 {
		t.Errorf("%d versions", len(versions))
	}
	write("1", "") // what was good is not used in the place of what is not
	if _, err := s.Fetch(t.Context(), nil); err == nil {
		t.Error("an empty file is a secret")
	}
	if err := os.Remove(filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(t.Context(), nil); err == nil {
		t.Error("a file that is gone is a secret")
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	at := func(n string) string { return filepath.Join(dir, n) }
	for n, text := range map[string]string{"empty": "\n", "lines": "a-token\nanother", "large": strings.Repeat("x", maxSize+1), "open": "a-good-token"} {
		if err := os.WriteFile(at(n), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(at("open"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[string]string{"none": "no such file", "empty": "empty", "lines": "line", "large": "larger than", "open": "chmod 600", "pipe": "not a regular file", ".": "not a regular file"} {
		if _, err := New(at(n)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "file:"+dir) {
			t.Errorf("%s: %v, want %q", n, err, want)
		}
	}
}
