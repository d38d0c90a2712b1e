package sidecar

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/sandbox"
)

// hostile 285: what was kept is read strictly; what is something else is named, and
// holds nobody.
func TestShelfIsStrict(t *testing.T) {
	id := sandbox.NewID()
	whole := []byte(`{"sandbox":{"id":"` + id + `","state":"active"}}`)
	elsewhere := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(elsewhere, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"a pipe":        func(p string) error { return unix.Mkfifo(p, 0o600) },
		"a link":        func(p string) error { return os.Symlink(elsewhere, p) },
		"a directory":   func(p string) error { return os.Mkdir(p, 0o700) },
		"nothing in it": func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"half of one":   func(p string) error { return os.WriteFile(p, []byte(`{"sandbox":{"id":"`+id), 0o600) },
		"another's": func(p string) error {
			return os.WriteFile(p, bytes.Replace(whole, []byte(id), []byte("other"), 1), 0o600)
		},
		"more than there": func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 20<<30)) },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := openShelf(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer s.lock.Close()
			path := s.file(id, ".json")
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			done := time.AfterFunc(10*time.Second, func() { panic("it waits for " + name) })
			defer done.Stop()
			if got, err := s.load(); err == nil || !strings.Contains(err.Error(), filepath.Base(path)) {
				t.Errorf("%+v %v", got, err)
			}
			if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, whole, 0o600)); err != nil {
				t.Fatal(err)
			}
			if got, err := s.load(); err != nil || len(got) != 1 {
				t.Errorf("a whole one: %+v %v", got, err)
			}
		})
	}
}
