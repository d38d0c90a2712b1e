package rego

import (
	"context"
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"golang.org/x/net/http/httpguts"

	"sallyport/policy"
)

// untouchable are the fields that frame, route or authenticate a message on its
// way through proxies: no policy sets or removes them.
var untouchable = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Expect", "Content-Encoding", "Sallyport-Decision",
	"Sec-Websocket-Key", "Sec-Websocket-Accept", "Sec-Websocket-Version", "Sec-Websocket-Extensions"}

// editable returns a field's canonical name, or why policy may not touch it.
func editable(name, value string) (string, error) {
	n := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return "", fmt.Errorf("%q is not the name of a header field", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return "", fmt.Errorf("the value of %s has a control character", n)
	case slices.Contains(untouchable, n) || strings.HasPrefix(n, "Proxy-"):
		return "", fmt.Errorf("%s frames or routes a message: policy does not touch it", n)
	}
	return n, nil
}

// merge makes header edits canonical and finds those that disagree. Setting a
// field strips what the client sent, so setting and removing one disagree too.
func (p *Policy) merge(ctx context.Context, x *phase, in ast.Value, d *policy.Decision) {
	set := map[string]string{}
	var out []policy.Header
	for _, h := range d.Set {
		n, err := editable(h.Name, h.Value)
		if err != nil {
			d.Err = err
			return
		}
		old, twice := set[n]
		if twice && old != h.Value {
			p.conflict(ctx, x, in, d, n)
			return
		}
		if !twice {
			set[n] = h.Value
			out = append(out, policy.Header{Name: n, Value: h.Value})
		}
	}
	var gone []string
	for _, r := range d.Remove {
		n, err := editable(r, "")
		if err != nil {
			d.Err = err
			return
		}
		if _, both := set[n]; both {
			p.conflict(ctx, x, in, d, n)
			return
		}
		if !slices.Contains(gone, n) {
			gone = append(gone, n)
		}
	}
	d.Set, d.Remove = out, gone
	if len(d.Patch) > 0 {
		p.mergePatches(ctx, x, in, d)
	}
}

// conflict denies, and says to the operator which rules disagree.
func (p *Policy) conflict(ctx context.Context, x *phase, in ast.Value, d *policy.Decision, name string) {
	at := p.origins(ctx, x, in, func(verb string, t *ast.Term) bool {
		return (verb == "set_headers" || verb == "remove_headers") && editName(t) == name
	})
	d.Set, d.Remove = nil, nil
	d.Deny = append([]policy.Denial{{Code: policy.CodeConflict, Public: "rules of the policy disagree on a header",
		Operator: fmt.Sprintf("%s is edited by %s", name, strings.Join(at, " and "))}}, d.Deny...)
}

// origins finds the rules that have an element of which is holds, by evaluating each
// by itself. It is for what went wrong already.
func (p *Policy) origins(ctx context.Context, x *phase, in ast.Value, is func(verb string, e *ast.Term) bool) (at []string) {
	for _, r := range x.author {
		verb := r.Head.Name.String()
		if r.Head.Key == nil {
			continue
		}
		q := r.Body.Copy()
		v := ast.VarTerm("sallyport_edit")
		q.Append(ast.Equality.Expr(r.Head.Key, v))
		rs, err := topdown.NewQuery(q).WithCompiler(p.compiler).WithStore(p.store).WithTransaction(p.txn).WithInput(ast.NewTerm(in)).Run(ctx)
		if err != nil {
			continue
		}
		for _, res := range rs {
			if t := res[v.Value.(ast.Var)]; t != nil && is(verb, t) {
				if place := fmt.Sprintf("%s:%d", r.Location.File, r.Location.Row); !slices.Contains(at, place) {
					at = append(at, place)
				}
			}
		}
	}
	slices.Sort(at)
	return at
}

func editName(t *ast.Term) string {
	f, err := fieldsOf(t)
	if err != nil {
		return ""
	}
	if f.is {
		return textproto.CanonicalMIMEHeaderKey(f.bare)
	}
	if n := f.text("name", false); n != "" {
		return textproto.CanonicalMIMEHeaderKey(n)
	}
	return textproto.CanonicalMIMEHeaderKey(f.text("text", false))
}
