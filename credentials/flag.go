package credentials

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/dest"
)

// A Spec is a binding as it is written on a command line: its source is not
// opened yet.
type Spec struct {
	Binding
	SourceKind, SourceArg string
}

const specForm = "NAME=SOURCE@https://HOST[:PORT][,as=bearer|basic:USER|header:NAME|query:NAME|cookie:NAME|json:/POINTER|form:NAME|sigv4:SERVICE:REGION:ACCESS_KEY_ID][,placeholder=VARIABLE[,shape=TEXT{N}]][,client_value=strip|require_placeholder|reject], where SOURCE is env:VARIABLE or file:PATH"

// ParseSpec reads one.
func ParseSpec(s string) (Spec, error) {
	fail := func(format string, a ...any) (Spec, error) {
		return Spec{}, fmt.Errorf("%w; expected "+specForm, fmt.Errorf(format, a...))
	}
	var out Spec
	name, rest, ok := strings.Cut(s, "=")
	if !ok {
		return fail("there is no =")
	}
	out.Name = name
	i := strings.LastIndex(rest, "@https://")
	if i < 0 {
		if strings.Contains(rest, "@http://") {
			return fail("a credential goes over https only")
		}
		return fail("there is no @https://HOST")
	}
	source, target := rest[:i], rest[i+len("@https://"):]
	if out.SourceKind, out.SourceArg, ok = strings.Cut(source, ":"); !ok || out.SourceArg == "" || out.SourceKind != "env" && out.SourceKind != "file" {
		return fail("what stands before @ is no source; it is not repeated here, since it may be a secret")
	}
	host, opts, hasOpts := strings.Cut(target, ",")
	bind, err := ParseOrigin("https://" + host)
	if err != nil {
		return fail("%w", err)
	}
	out.Bind, out.Place = bind, Place{Kind: Bearer}
	if hasOpts {
		if err := out.options(opts); err != nil {
			return fail("%w", err)
		}
	}
	return out, nil
}

// options reads what may follow the destination. A comma that begins no option is part
// of the one before it.
func (s *Spec) options(text string) error {
	var opts []string
	for part := range strings.SplitSeq(text, ",") {
		if name, _, _ := strings.Cut(part, "="); len(opts) == 0 || slices.Contains([]string{"as", "placeholder", "shape", "client_value"}, name) {
			opts = append(opts, part)
		} else {
			opts[len(opts)-1] += "," + part
		}
	}
	seen, shape := map[string]bool{}, ""
	for _, o := range opts {
		name, arg, _ := strings.Cut(o, "=")
		if seen[name] {
			return fmt.Errorf("%s stands twice", name)
		}
		seen[name] = true
		switch name {
		case "as":
			p, err := ParsePlace(arg)
			if err != nil {
				return err
			}
			s.Place = p
		case "placeholder":
			s.Placeholder = &Placeholder{Env: arg}
		case "shape":
			shape = arg
		case "client_value":
			s.ClientValue = ClientValue(arg)
		default:
			return fmt.Errorf("%q is not as=…, placeholder=…, shape=… or client_value=…", o)
		}
	}
	if shape != "" {
		if s.Placeholder == nil {
			return fmt.Errorf("a shape is one of a placeholder, which is missing")
		}
		s.Placeholder.Shape = shape
	}
	return s.Placeholder.check()
}

// ParseOrigin reads https://HOST[:PORT].
func ParseOrigin(s string) (Bind, error) {
	host, ok := strings.CutPrefix(s, "https://")
	switch {
	case strings.HasPrefix(s, "http://"):
		return Bind{}, fmt.Errorf("a credential goes over https only: expected https://HOST[:PORT]")
	case !ok:
		return Bind{}, fmt.Errorf("expected https://HOST[:PORT]")
	}
	host = strings.TrimSuffix(host, "/")
	if strings.Contains(host, "*") {
		return Bind{}, fmt.Errorf("a credential is bound to one host, not to a pattern")
	}
	a, err := dest.ParseAuthority(host, 443)
	if err != nil {
		return Bind{}, fmt.Errorf("%q: %w", host, err)
	}
	return Bind{Host: a.Host(), Port: a.Port(), Scheme: "https"}, nil
}
