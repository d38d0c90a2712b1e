package rego

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// maxReads bounds what a record is told of what a phase can read, in bytes.
const maxReads = 4 << 10

// pointers are what a phase can read, as JSON pointers into its input (RFC 6901),
// sorted, as JSON: "" is all of it. nil when that is too long for a record.
func (w *wanted) pointers() []byte {
	out := []string{}
	w.walk("", func(p string) { out = append(out, p) })
	b, err := json.Marshal(out)
	if err != nil || len(b) > maxReads {
		return nil
	}
	return b
}

func (w *wanted) walk(at string, leaf func(string)) {
	if w.all {
		leaf(at)
		return
	}
	for _, k := range slices.Sorted(maps.Keys(w.below)) {
		w.below[k].walk(at+"/"+escapes.Replace(k), leaf)
	}
}

var (
	escapes   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapes = strings.NewReplacer("~1", "/", "~0", "~")
)

// add wants all that is at and below a path.
func (w *wanted) add(path ...string) {
	for _, k := range path {
		if w.all {
			return
		}
		if w.below == nil {
			w.below = map[string]*wanted{}
		}
		if w.below[k] == nil {
			w.below[k] = &wanted{}
		}
		w = w.below[k]
	}
	w.all, w.below = true, nil
}

// covers reports whether all that is at and below a path is wanted.
func (w *wanted) covers(path []string) bool {
	for _, k := range path {
		if w = w.at(k); w == nil || w.all {
			return w != nil
		}
	}
	return w.all
}
