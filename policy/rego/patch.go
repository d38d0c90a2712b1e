package rego

import (
	"context"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// patches is what the elements of patch_body are.
var patches = shape{kind: "set", keys: []string{"op", "path", "value"}}

// patch reads one.
func (f *fieldsReader) patch(d *policy.Decision) {
	p := policy.Patch{Op: f.must("op"), Path: f.must("path")}
	v := f.get("value")
	switch {
	case f.err != nil:
	case p.Op != "add" && p.Op != "replace" && p.Op != "remove":
		f.fail("op %q is not known; known are add, replace and remove", p.Op)
	case !pointer(p.Path):
		f.fail("path %q is no pointer to a part of a body, such as /model or /messages/0", p.Path)
	case (v == nil) != (p.Op == "remove"):
		f.fail("value belongs to add and replace, and to those alone")
	case v != nil:
		value, err := ast.JSON(v.Value)
		if err != nil {
			f.fail("value is nothing that JSON has: %v", v)
		}
		p.Value = value
	}
	d.Patch = append(d.Patch, p)
}

// pointer reports whether a text is a pointer of RFC 6901, other than to the whole.
func pointer(s string) bool {
	rest := strings.NewReplacer("~0", "", "~1", "").Replace(s)
	return strings.HasPrefix(s, "/") && !strings.Contains(rest, "~")
}

// mergePatches finds edits of a body that disagree.
func (p *Policy) mergePatches(ctx context.Context, x *phase, in ast.Value, d *policy.Decision) {
	out, clash := policy.Patches(d.Patch)
	if clash == nil {
		d.Patch = out
		return
	}
	at := p.origins(ctx, x, in, func(verb string, t *ast.Term) bool {
		f, err := fieldsOf(t)
		return err == nil && verb == "patch_body" && (f.text("path", false) == clash[0] || f.text("path", false) == clash[1])
	})
	d.Patch = nil
	d.Deny = append([]policy.Denial{{Code: policy.CodeBodyConflict, Public: "rules of the policy disagree on a part of the body",
		Operator: fmt.Sprintf("%s is edited by %s", strings.Join(clash, " and "), strings.Join(at, " and "))}}, d.Deny...)
}
