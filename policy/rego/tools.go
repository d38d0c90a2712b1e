package rego

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// Format returns the Rego files of a directory that are not formatted, and with
// write formats them.
func Format(dir string, write bool) ([]string, error) {
	if st, err := os.Stat(dir); err == nil && !st.IsDir() {
		return nil, fmt.Errorf("%s is no directory: format what a bundle is made of", dir)
	}
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".rego") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := format.SourceWithOpts(path, b, format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			return problems(dir, err)
		}
		if bytes.Equal(b, f) {
			return nil
		}
		out = append(out, path)
		if !write {
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(path, f, st.Mode().Perm())
	})
	return out, err
}

// Formatted is the text of a module as Format would leave it; name is for errors.
func Formatted(name string, text []byte) ([]byte, error) {
	f, err := format.SourceWithOpts(name, text, format.Opts{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, problems(name, err)
	}
	return f, nil
}
