package policy

import "testing"

// hostile 412: edits that can disagree do not both happen.
func TestPatches(t *testing.T) {
	p := func(op, path string, v any) Patch { return Patch{Op: op, Path: path, Value: v} }
	for _, c := range []struct {
		a, b  Patch
		clash bool
	}{
		{p("replace", "/a", 1), p("replace", "/a", 1), false},
		{p("replace", "/a", 1), p("replace", "/a", 2), true},
		{p("replace", "/a", 1), p("remove", "/a", nil), true},
		{p("replace", "/a", 1), p("replace", "/a/b", 1), true},
		{p("replace", "/a", 1), p("replace", "/ab", 1), false},
		{p("replace", "/a-b", 1), p("replace", "/a/b", 1), false},
		{p("replace", "/a/b", 1), p("replace", "/a/c", 1), false},
		{p("replace", "/l/0", 1), p("replace", "/l/1", 1), false},
		{p("remove", "/l/0", nil), p("replace", "/l/1", 1), true},
		{p("replace", "/l/0/x", 1), p("remove", "/l/1", nil), true},
		{p("replace", "/l/0/x", 1), p("replace", "/l/1", 2), false},
		{p("remove", "/l/2", nil), p("replace", "/l/1/x/y", 1), true},
		{p("add", "/l/-", 1), p("add", "/l/-", 2), true},
		{p("add", "/l/-", 1), p("add", "/l/0", 2), true},
		{p("add", "/o/k", 1), p("add", "/o/j", 2), false},
		{p("remove", "/l/0/k", nil), p("remove", "/l/1/k", nil), false},
		{p("add", "/l/0/m/-", 1), p("replace", "/l/0/m/0/x", 1), true},
	} {
		for _, ps := range [][]Patch{{c.a, c.b}, {c.b, c.a}} {
			if _, clash := Patches(ps); (clash != nil) != c.clash {
				t.Errorf("%v: %v", ps, clash)
			}
		}
	}
	if d := unite(Request, []*Decision{{Allow: true, Patch: []Patch{p("replace", "/a", 1)}}, {Allow: true, Patch: []Patch{p("replace", "/a", 2)}}}); d.Granted() || d.Deny[0].Code != CodeBodyConflict {
		t.Errorf("layers that disagree: %+v", d)
	}
}
