package rego

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// decode reads the composed decision. Anything that is not what it must be is an
// error, for the whole of it.
func decode(t *ast.Term, d *policy.Decision) error {
	o, ok := t.Value.(ast.Object)
	if !ok {
		return errShape
	}
	err := o.Iter(func(k, v *ast.Term) error {
		verb, ok := k.Value.(ast.String)
		if !ok {
			return errShape
		}
		if err := decodeVerb(string(verb), v, d); err != nil {
			return fmt.Errorf("%s: %w", string(verb), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(d.Deny, func(a, b policy.Denial) int { return strings.Compare(a.Code, b.Code) })
	return nil
}

func decodeVerb(verb string, v *ast.Term, d *policy.Decision) error {
	switch verb {
	case "allow", "opaque", "websocket":
		b, ok := v.Value.(ast.Boolean)
		if !ok {
			return errShape
		}
		*map[string]*bool{"allow": &d.Allow, "opaque": &d.Opaque, "websocket": &d.WebSocket}[verb] = bool(b)
		return nil
	}
	set, ok := v.Value.(ast.Set)
	if !ok {
		return errShape
	}
	return set.Iter(func(e *ast.Term) error { return decodeElement(verb, e, d) })
}

func decodeElement(verb string, e *ast.Term, d *policy.Decision) error {
	f, err := fieldsOf(e)
	if err != nil {
		if verb == "deny" { // one of a wrong shape denies too
			d.Deny = append(d.Deny, policy.Denial{Code: policy.CodePolicyError, Public: "the policy denies this", Operator: "an element of deny is " + e.String()})
			return nil
		}
		return err
	}
	switch verb {
	case "deny":
		den := policy.Denial{Code: f.text("code", true), Public: f.text("public", false), Operator: f.text("operator", false)}
		if !snake(den.Code) {
			den.Operator = strings.TrimSpace(den.Operator + " (code " + fmt.Sprintf("%q", den.Code) + ")")
			den.Code = "denied"
		}
		if den.Public == "" {
			den.Public = "the policy denies this"
		}
		d.Deny = append(d.Deny, den)
		return nil
	case "reasons":
		d.Reasons = append(d.Reasons, f.text("text", true))
	case "credentials":
		d.Credentials = append(d.Credentials, policy.Credential{Name: f.text("name", true), Params: f.dict("params")})
	case "set_headers":
		d.Set = append(d.Set, policy.Header{Name: f.text("name", true), Value: f.must("value")})
	case "remove_headers":
		d.Remove = append(d.Remove, f.text("text", true))
	case "patch_body":
		f.patch(d)
	case "limits":
		d.Limits.RequestBytes = smaller(d.Limits.RequestBytes, f.number("request_bytes"))
		d.Limits.ResponseBytes = smaller(d.Limits.ResponseBytes, f.number("response_bytes"))
		d.Limits.Duration = time.Duration(smaller(int64(d.Limits.Duration), f.number("seconds")*int64(time.Second)))
		f.quota(d)
	case "audit":
		if err := raise(&d.Audit, f); err != nil {
			return err
		}
	case "respond":
		return f.respond(d)
	case "rewrite":
		rw := policy.Rewrite{Scheme: f.text("scheme", false), Host: f.text("host", false), Path: f.text("path", false)}
		if d.Rewrite != nil && *d.Rewrite != rw {
			return fmt.Errorf("two rules rewrite differently")
		}
		d.Rewrite = &rw
	default:
		return errShape
	}
	return f.end()
}

func smaller(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// levels of a record, least first.
var levels = []string{"", "metadata", "request", "request_response"}

func raise(a *policy.Audit, f *fieldsReader) error {
	l := f.text("level", false)
	if !slices.Contains(levels, l) {
		return fmt.Errorf("level %q is not known; known are metadata, request and request_response", l)
	}
	if slices.Index(levels, l) > slices.Index(levels, a.Level) {
		a.Level = l
	}
	a.Tags = append(a.Tags, f.list("tags")...)
	return nil
}

func (f *fieldsReader) respond(d *policy.Decision) error {
	r := policy.Respond{Status: int(f.number("status")), Body: f.text("body", false)}
	if r.Status == 0 {
		r.Status = 200
	}
	for k, v := range f.dict("headers") {
		r.Header = append(r.Header, policy.Header{Name: k, Value: v})
	}
	slices.SortFunc(r.Header, func(a, b policy.Header) int { return strings.Compare(a.Name, b.Name) })
	if r.Status < 200 || r.Status > 599 {
		return fmt.Errorf("status %d is not one of 200 to 599", r.Status)
	}
	for i, h := range r.Header {
		name, err := editable(h.Name, h.Value)
		if err != nil {
			return err
		}
		r.Header[i].Name = name
	}
	if d.Respond != nil {
		return fmt.Errorf("two rules respond differently")
	}
	d.Respond = &r
	return f.end()
}

// snake reports whether a code can be one: it goes into headers and metrics.
func snake(s string) bool {
	for i, c := range s {
		if !(c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// A fieldsReader reads the fields of one element and remembers the first error.
type fieldsReader struct {
	o    ast.Object
	bare string // the element was a text
	is   bool
	err  error
}

func fieldsOf(t *ast.Term) (*fieldsReader, error) {
	switch v := t.Value.(type) {
	case ast.String:
		return &fieldsReader{bare: string(v), is: true}, nil
	case ast.Object:
		return &fieldsReader{o: v}, nil
	}
	return nil, fmt.Errorf("%w: an element is %v", errShape, t)
}

func (f *fieldsReader) get(k string) *ast.Term {
	if f.is {
		return nil
	}
	return f.o.Get(ast.InternedTerm(k))
}

func (f *fieldsReader) fail(format string, a ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, a...)
	}
}

// text reads a text; short means that the element itself may be it.
func (f *fieldsReader) text(k string, short bool) string {
	if f.is {
		if short {
			return f.bare
		}
		return ""
	}
	t := f.get(k)
	if t == nil {
		if short {
			f.fail("%s is missing", k)
		}
		return ""
	}
	s, ok := t.Value.(ast.String)
	if !ok {
		f.fail("%s is not a text: %v", k, t)
	}
	return string(s)
}

func (f *fieldsReader) must(k string) string {
	if f.get(k) == nil {
		f.fail("%s is missing", k)
	}
	return f.text(k, false)
}

func (f *fieldsReader) number(k string) int64 {
	t := f.get(k)
	if t == nil {
		return 0
	}
	n, ok := t.Value.(ast.Number)
	i, whole := n.Int64()
	if !ok || !whole || i <= 0 {
		f.fail("%s is not a whole number above 0: %v", k, t)
		return 0
	}
	return i
}

func (f *fieldsReader) list(k string) (out []string) {
	t := f.get(k)
	if t == nil {
		return nil
	}
	each := func(e *ast.Term) {
		s, ok := e.Value.(ast.String)
		if !ok {
			f.fail("%s has an element that is not a text: %v", k, e)
		}
		out = append(out, string(s))
	}
	switch v := t.Value.(type) {
	case *ast.Array:
		v.Foreach(each)
	case ast.Set:
		v.Foreach(each)
	default:
		f.fail("%s is not a list of texts: %v", k, t)
	}
	return out
}

func (f *fieldsReader) dict(k string) map[string]string {
	t := f.get(k)
	if t == nil {
		return nil
	}
	o, ok := t.Value.(ast.Object)
	if !ok {
		f.fail("%s is not an object: %v", k, t)
		return nil
	}
	out := map[string]string{}
	o.Foreach(func(k2, v *ast.Term) {
		ks, ok1 := k2.Value.(ast.String)
		vs, ok2 := v.Value.(ast.String)
		if !ok1 || !ok2 {
			f.fail("%s has a field that is not a text: %v", k, k2)
		}
		out[string(ks)] = string(vs)
	})
	return out
}

func (f *fieldsReader) end() error { return f.err }
