package sidecar

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"sallyport/config"
)

// caFiles are where a configuration wants the CA, and where it says so.
func caFiles(bad *config.Problems, f *config.File) (out []string) {
	for i, c := range f.Sandboxes {
		switch {
		case c.CA.S == "":
		case !filepath.IsAbs(c.CA.S):
			bad.Add(c.CA.Pos, fmt.Sprintf("sandboxes[%d].ca", i), "%q is not an absolute path", c.CA.S)
		default:
			out = append(out, c.CA.S)
		}
	}
	return out
}

// exportCA puts the CA where sandboxes find it.
func (p *plan) exportCA(pem []byte) error {
	var errs []error
	for _, path := range p.caFiles {
		if err := replaceFile(path, pem); err != nil {
			errs = append(errs, fmt.Errorf("the CA for a sandbox: %w", err))
		}
	}
	return errors.Join(errs...)
}

// replaceFile gives a file that everybody may read another content, at once. The
// directory has to be one in which nobody else can put a link in its place.
func replaceFile(path string, content []byte) error {
	if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, content) {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := ownDirectory(dir); err != nil {
		return err
	}
	return renameio.WriteFile(path, content, 0o644)
}
