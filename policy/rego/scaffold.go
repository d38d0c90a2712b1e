package rego

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/policies"
)

// Scaffold writes a policy to begin with into DIR/policy, and beside it what OPA's
// own commands and editors need: the modules that compose a decision and the library in
// DIR/sallyport, the schemas of the input in DIR/schema, and in DIR/annotations which
// package has which of these. A file that is there
// already is left alone: then nothing is written. It returns the names of the files.
func Scaffold(dir string) ([]string, error) {
	files := map[string][]byte{}
	take := func(from fs.FS, below, to string) error {
		return fs.WalkDir(from, below, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(from, path)
			name := filepath.Join(to, strings.TrimPrefix(path, below))
			if annotation, ok := strings.CutPrefix(d.Name(), "schema_"); ok { // for which OPA's commands want a flag
				name = filepath.Join("annotations", annotation)
			}
			files[name] = b
			return err
		})
	}
	if err := take(policies.Scaffold, "scaffold", "policy"); err != nil {
		return nil, err
	}
	if err := take(policies.Composing, "sallyport", "sallyport"); err != nil {
		return nil, err
	}
	if err := take(policies.Library, "library", "sallyport"); err != nil {
		return nil, err
	}
	for _, ph := range SchemaPhases() {
		b, err := Schema(ph)
		if err != nil {
			return nil, err
		}
		files[filepath.Join("schema", ph+".json")] = b
	}
	names := make([]string, 0, len(files))
	for name := range files {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s is there already: nothing was written", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		names = append(names, path)
	}
	slices.Sort(names)
	for _, path := range names {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return nil, err
		}
		if _, err = f.Write(files[name]); err != nil {
			_ = f.Close()
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return names, nil
}
