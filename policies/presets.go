package policies

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed default/*.rego presets/*.rego
var ofRun embed.FS

// Presets returns the names of what WithPresets can add, sorted.
func Presets() (out []string) {
	files, _ := fs.Glob(ofRun, "presets/*.rego")
	for _, f := range files {
		if name := strings.TrimSuffix(strings.TrimPrefix(f, "presets/"), ".rego"); !strings.HasSuffix(name, "_test") {
			out = append(out, name)
		}
	}
	return out
}

// WithPresets is Default with what the presets of these names grant beside it.
func WithPresets(names []string) (fs.FS, error) {
	known := Presets()
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("there is no preset %q; there are %s", n, strings.Join(known, ", "))
		}
	}
	return picked{ofRun, names}, nil
}

// A picked tree has of the presets those that were chosen.
type picked struct {
	fs.FS
	names []string
}

// ReadDir lists a directory, as fs.ReadDirFS does.
func (p picked) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(p.FS, name)
	if name == "presets" {
		all = slices.DeleteFunc(all, func(e fs.DirEntry) bool { return !slices.Contains(p.names, strings.TrimSuffix(e.Name(), ".rego")) })
	}
	return all, err
}
