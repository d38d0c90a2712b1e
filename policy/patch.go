package policy

import (
	"reflect"
	"slices"
	"strings"
)

// A Patch is an edit of a body of JSON: an operation of RFC 6902, of which there are
// add, replace and remove.
type Patch struct {
	Op    string
	Path  string // a pointer, RFC 6901; never the whole
	Value any    // a JSON value whose numbers are json.Number; nil for remove
}

// Removes reports whether patches only take out what may be there.
func Removes(ps []Patch) bool {
	return !slices.ContainsFunc(ps, func(p Patch) bool { return p.Op != "remove" })
}

// Patches makes one list of edits in which each is there once, in order of their
// paths. Where two disagree, since they edit the same part, one a part of the
// other's, or elements of a list of which one moves the other, it returns both paths.
func Patches(ps []Patch) (out []Patch, clash []string) {
	out = slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b Patch) int { return strings.Compare(a.Path, b.Path) })
	out = slices.CompactFunc(out, func(a, b Patch) bool { return reflect.DeepEqual(a, b) })
	for i, a := range out {
		for _, b := range out[i+1:] {
			if a.Path == b.Path || strings.HasPrefix(b.Path, a.Path+"/") || moves(a, b) {
				return nil, []string{a.Path, b.Path}
			}
		}
	}
	return out, nil
}

// moves reports whether two edits may be of elements of one list, of which one moves
// what stands behind it.
func moves(a, b Patch) bool {
	i, j := strings.LastIndexByte(a.Path, '/'), strings.LastIndexByte(b.Path, '/')
	if i < 0 || j < 0 {
		return false
	}
	at, last := a.Path[:i], a.Path[i+1:]
	other := b.Path
	if other != at && !strings.HasPrefix(other, at+"/") { // a's list may also be on b's way
		at, last, other = b.Path[:j], b.Path[j+1:], a.Path
		if other != at && !strings.HasPrefix(other, at+"/") {
			return false
		}
		a, b = b, a
	}
	next, _, deeper := strings.Cut(strings.TrimPrefix(other, at+"/"), "/")
	return element(last) && element(next) && (a.Op != "replace" || !deeper && b.Op != "replace")
}

// element reports whether a step of a pointer may be one into a list.
func element(step string) bool {
	return step == "-" || step != "" && strings.Trim(step, "0123456789") == ""
}
