package credentials

import (
	"fmt"
	"strings"

	"sallyport/dest"
)

// A Spec is a binding as it is written on a command line: its source is not
// opened yet.
type Spec struct {
	Binding
	SourceKind, SourceArg string
}

const specForm = "NAME=SOURCE@https://HOST[:PORT][,as=bearer|basic:USER|header:NAME|query:NAME], where SOURCE is env:VARIABLE or file:PATH"

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
	host = strings.TrimSuffix(host, "/")
	if strings.Contains(host, "*") {
		return fail("a credential is bound to one host, not to a pattern")
	}
	a, err := dest.ParseAuthority(host, 443)
	if err != nil {
		return fail("%q: %w", host, err)
	}
	out.Host, out.Port, out.Scheme = a.Host(), a.Port(), "https"
	out.Place = Place{Kind: Bearer}
	if hasOpts {
		as, ok := strings.CutPrefix(opts, "as=")
		if !ok {
			return fail("%q is not as=…", opts)
		}
		kind, arg, hasArg := strings.Cut(as, ":")
		switch k := Kind(kind); {
		case k == Bearer && !hasArg:
		case k == Basic && hasArg:
			out.Place = Place{Kind: Basic, User: arg}
		case (k == Header || k == Query) && arg != "":
			out.Place = Place{Kind: k, Name: arg}
		default:
			return fail("as=%s is not a way to place a secret", as)
		}
	}
	return out, nil
}
