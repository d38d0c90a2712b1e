package credentials

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A Kind is how a secret is put on a request.
type Kind string

const (
	Bearer Kind = "bearer" // Authorization: Bearer SECRET (RFC 6750)
	Basic  Kind = "basic"  // Authorization: Basic with a fixed user (RFC 7617)
	Header Kind = "header" // a field of its own
	Query  Kind = "query"  // a parameter of the query
	Cookie Kind = "cookie" // a cookie beside those of the client (RFC 6265)
	JSON   Kind = "json"   // a member of a JSON body, by its pointer (RFC 6901)
	Form   Kind = "form"   // a field of a body as HTML forms have
	SigV4  Kind = "sigv4"  // the signature of AWS
)

// A Place is where on a request a secret goes, and how it is written there. No part of
// it ever comes from a sandbox.
type Place struct {
	Kind   Kind
	Name   string // of the header, parameter, cookie or field; the pointer of json; the service of sigv4
	User   string // of basic; "" is what the source says of user. The access key id of sigv4; "" is what the source says of access_key_id
	Region string // of sigv4: those that may be signed for, parted by commas
	Format string // of header: text with {secret}, {user} and other parts of the value; "" is the secret
}

// A Request is what credentials are put on, as it will be sent.
type Request struct {
	Method string
	Host   string   // as the field says it
	Path   string   // as it is sent
	URL    *url.URL // of which the query counts
	Header http.Header
	Body   io.Reader // nil when there is none
	Size   int64     // of the body; -1 when nobody knows
	Room   Room      // for what is held of it in memory; nil does not bound it

	kept []byte // the body, when it was read whole
	user string // of the client, beside its placeholder

	signature signature // of the client, which was taken off
}

// A placer knows one kind of place.
type placer interface {
	// check says what is wrong with the place.
	check() error
	// String names it, as records do.
	String() string
	// strip takes the client's own value out of it, under every spelling that a server
	// could take for the name, and reports whether there was one.
	strip(*Request) bool
	// claim says what the client has there, where v holds the placeholder.
	claim(r *Request, v Value) (claim, error)
	// put puts a value in.
	put(*Request, Value) error
	// rendered is what is put there coded as a whole, so that the secret itself is not
	// seen in it; nil where there is no such.
	rendered(Value) []byte
	// sends reports whether a secret of a value is sent as such, so that it can come back.
	sends(Value) bool
	// answered takes out of an answer's header what stands for the place.
	answered(http.Header) int
}

// plain is what most kinds need not say.
type plain struct{}

func (plain) rendered(Value) []byte    { return nil }
func (plain) sends(Value) bool         { return true }
func (plain) answered(http.Header) int { return 0 }

// placer returns that of a kind, nil when the kind is not known.
func (p Place) placer() placer {
	switch p.Kind {
	case Bearer:
		return headerField{name: "Authorization", format: "Bearer {secret}"}
	case Basic:
		return basic{user: p.User}
	case Header:
		return headerField{name: p.Name, format: p.Format}
	case Query:
		return parameter{name: p.Name}
	case Cookie:
		return cookie{name: p.Name}
	case JSON:
		return member{pointer: p.Name}
	case Form:
		return formField{name: p.Name}
	case SigV4:
		return sigv4{service: p.Name, regions: strings.Split(p.Region, ","), keyID: p.User}
	}
	return nil
}

// String names the place as records do.
func (p Place) String() string {
	if x := p.placer(); x != nil {
		return x.String()
	}
	return string(p.Kind)
}

func (p Place) check() error {
	x := p.placer()
	if x == nil {
		return fmt.Errorf("kind %q is not known; known are %s", p.Kind, strings.Join(kinds, ", "))
	}
	if p.Format != "" && p.Kind != Header {
		return fmt.Errorf("only a header has a format")
	}
	return x.check()
}

var kinds = []string{"bearer", "basic", "header", "query", "cookie", "json", "form", "sigv4"}

const placeForms = "bearer, basic:USER, header:NAME, query:NAME, cookie:NAME, json:/POINTER, form:NAME or sigv4:SERVICE:REGION:ACCESS_KEY_ID"

// ParsePlace reads bearer, basic:USER, header:NAME, query:NAME, cookie:NAME,
// json:/POINTER, form:NAME or sigv4:SERVICE:REGION:ACCESS_KEY_ID.
func ParsePlace(s string) (Place, error) {
	kind, arg, hasArg := strings.Cut(s, ":")
	switch k := Kind(kind); {
	case k == Bearer && !hasArg:
		return Place{Kind: Bearer}, nil
	case k == Basic && hasArg:
		return Place{Kind: Basic, User: arg}, nil
	case (k == Header || k == Query || k == Cookie || k == JSON || k == Form) && arg != "":
		p := Place{Kind: k, Name: arg}
		return p, p.check()
	case k == SigV4 && strings.Count(arg, ":") == 2:
		parts := strings.Split(arg, ":")
		p := Place{Kind: k, Name: parts[0], Region: parts[1], User: parts[2]}
		return p, p.check()
	}
	return Place{}, fmt.Errorf("%s is not a way to place a secret; expected %s", s, placeForms)
}

// unplaced is why a value cannot be put on a request.
func unplaced(format string, a ...any) *Error {
	return &Error{"credential_unplaced", "this request cannot have its credential", fmt.Sprintf(format, a...)}
}
