package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/credentials"
	"sallyport/credentials/file"
)

// A credential of a service, and again when it is replaced.
func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(variable, dir)
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "new"), []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "token")); err != nil {
			t.Fatal(err)
		}
	}
	put("first-secret\n")
	s, err := New("token", file.New)
	if err != nil || s.String() != "systemd:token" || s.Path() != filepath.Join(dir, "token") {
		t.Fatal(s, err)
	}
	for _, want := range []string{"first-secret", "second-secret"} {
		put(want)
		v, err := s.Fetch(t.Context(), nil)
		if is, _ := credentials.NewSecret([]byte(want)); err != nil || !v.Secret.Equal(is) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for name, want := range map[string]string{"../token": "without slashes", "": "without slashes", "..": "without slashes", "none": "no such file"} {
		if _, err := New(name, file.New); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	t.Setenv(variable, "")
	if _, err := New("token", file.New); err == nil || !strings.Contains(err.Error(), "gave this service no credentials") {
		t.Error(err)
	}
}
