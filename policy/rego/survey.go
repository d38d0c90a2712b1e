package rego

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// survey finds what OPA's loader would pass over in silence. A rule that is not
// read may be one that denies, so each of these is a problem: what cannot be
// read, a link that leads out of the directory, a file that is nearly named as
// one of Rego.
func survey(dir string) (out []Problem) {
	fail := func(path, format string, a ...any) {
		out = append(out, Problem{File: path, Code: "unread", Message: fmt.Sprintf(format, a...)})
	}
	whole, err := filepath.EvalSymlinks(dir)
	if err != nil {
		fail(dir, "%v", err)
		return out
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			fail(path, "it cannot be read, and there may be rules in it: %v", reasonOf(err))
			return nil
		}
		ext := filepath.Ext(path)
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			to, err := filepath.EvalSymlinks(path)
			if err != nil {
				fail(path, "the link leads nowhere: %v", reasonOf(err))
			} else if to != whole && !strings.HasPrefix(to, whole+string(filepath.Separator)) {
				fail(path, "the link leads out of the policy's directory, to %s: put what it leads to into the directory", to)
			}
		case d.IsDir():
		case ext != ".rego" && strings.EqualFold(ext, ".rego"):
			fail(path, "files of Rego end in .rego, in lower case")
		case ext == ".rego":
			f, err := os.Open(path)
			if err != nil {
				fail(path, "it cannot be read: %v", reasonOf(err))
				return nil
			}
			_ = f.Close()
		}
		return nil
	})
	return out
}

// reasonOf leaves out the path, which stands before it already.
func reasonOf(err error) error {
	if p, ok := err.(*fs.PathError); ok { //nolint:errorlint // as os returns it
		return p.Err
	}
	return err
}
