package sidecar

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// seedFile is what placeholders of credentials are made of, so that those that a
// sandbox was given are the same after a restart.
const seedFile = "placeholders.seed"

// seedOf reads the seed of a state directory, or makes one.
func seedOf(dir string) ([]byte, error) {
	path := filepath.Join(dir, seedFile)
	b, err := plainFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case len(b) != 32:
		return nil, fmt.Errorf("%s is not what placeholders are made of: remove it to give sandboxes new ones", path)
	default:
		return b, nil
	}
	b = make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return b, renameio.WriteFile(path, b, os.FileMode(0o600))
}
