package config

import "path/filepath"

// place makes the paths that serve writes to absolute: they start where the file
// is, which is in dir.
func (f *File) place(dir string) {
	paths := []*Text{&f.State, &f.Audit.Dir, &f.Control.Socket}
	for i := range f.Sandboxes {
		paths = append(paths, &f.Sandboxes[i].Explicit.Socket)
	}
	for _, t := range paths {
		if t.S == "" || filepath.IsAbs(t.S) {
			continue
		}
		t.S = filepath.Join(dir, t.S)
		if abs, err := filepath.Abs(t.S); err == nil {
			t.S = abs
		}
	}
}
