package leaf

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A CA outlives its process, and is not used when something is wrong with it.
func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := Open(dir, Options{CommonName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, Options{CommonName: "another"})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.CAPEM(), again.CAPEM()) || !first.caKey.Equal(again.caKey) {
		t.Error("another CA was made")
	}
	key, cert := filepath.Join(dir, keyFile), filepath.Join(dir, certFile)
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	other, expired := t.TempDir(), t.TempDir()
	if _, err := Open(other, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(expired, Options{Lifetime: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		breakIt func() error
		want    string
	}{
		"readable by others": {func() error { return os.Chmod(key, 0o640) }, "may be read by others (mode 0640)"},
		"another's":          {func() error { return os.Link(filepath.Join(other, certFile), cert) }, "is not the certificate of"},
		"no key":             {func() error { return os.WriteFile(key, []byte("x"), 0o600) }, "does not hold one PEM block"},
		"no certificate":     {func() error { return os.Remove(cert) }, "no such file"},
	} {
		k, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		c0, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		if name == "another's" {
			_ = os.Remove(cert)
		}
		if err := c.breakIt(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		_, _ = os.Remove(key), os.Remove(cert)
		_, _ = os.WriteFile(key, k, 0o600), os.WriteFile(cert, c0, 0o644)
	}
	if _, err := Open(expired, Options{}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
}
