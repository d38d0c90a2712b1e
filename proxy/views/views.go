// Package views reads bodies into what policy sees: each in the one way in which
// all servers read it, or not at all.
package views

import (
	"mime"
	"regexp"
	"strings"
	"unicode/utf8"

	"sallyport/policy"
)

// Limit is how much of a body policy can see, in bytes, after its codings are undone.
const Limit = 64 << 10

// Wants are what a policy can read of a request.
type Wants struct {
	Body bool // the JSON value
	policy.View
}

// OfBody reports whether a body has to be read for it.
func (w Wants) OfBody() bool { return w.Body || w.View != 0 }

// Read makes the facts of a body, of which raw is all, or more than Limit. The
// request's other facts are there. codings are the values of Content-Encoding.
func Read(f *policy.RequestFacts, codings []string, raw []byte, w Wants) {
	f.BodyState, f.Views = policy.BodyUnparsed, policy.Views{}
	switch {
	case len(raw) > Limit:
		f.BodyState = policy.BodyTruncated
		return
	case len(raw) == 0 && len(codings) == 0:
		f.BodyState = policy.BodyNone
		Query(f, w)
		return
	}
	kind, params, ok := typeOf(f.ContentType)
	if !isJSON(kind) && coded(codings) {
		// What undoes no coding finds fields in the coded bytes of a form, where whoever sends it
		// can put some; of JSON it reads nothing (hostile 82).
		return
	}
	b, err := Decode(codings, raw)
	switch {
	case err == errLarge: //nolint:errorlint // as Decode returns it
		f.BodyState = policy.BodyTruncated
		return
	case err != nil:
		return
	}
	if !ok {
		return
	}
	switch {
	case isJSON(kind):
		v, ok := JSON(b)
		if !ok {
			return
		}
		f.Body, f.BodyState = v, policy.BodyParsed
		if w.View&policy.ViewRPC != 0 {
			f.RPC = calls(v)
		}
		if w.View&policy.ViewGraphQL != 0 {
			f.GraphQL = operations(v, f.Query)
		}
	case kind == "application/x-www-form-urlencoded":
		form, ok := form(b)
		if !ok {
			return
		}
		f.Form = form
		if w.View&policy.ViewGraphQL != 0 {
			f.GraphQL = one(fieldsOf(form), f.Query)
		}
	case w.View&policy.ViewMultipart != 0 && ofParts.MatchString(f.ContentType):
		f.Multipart = parts(params["boundary"], b)
	case kind == "application/graphql" && w.View&policy.ViewGraphQL != 0 && utf8.Valid(b):
		f.GraphQL = one(map[string]any{"query": string(b)}, f.Query)
	}
}

// IsJSON reports whether a content type is that of JSON in UTF-8.
func IsJSON(contentType string) bool {
	kind, _, ok := typeOf(contentType)
	return ok && isJSON(kind)
}

// Answer is what is known of the body of an answer, of which raw is all, or more than
// Limit.
func Answer(contentType string, codings []string, raw []byte) (any, policy.BodyState) {
	f := &policy.RequestFacts{ContentType: contentType}
	Read(f, codings, raw, Wants{Body: true})
	return f.Body, f.BodyState
}

// Query makes the facts that a request without a body has: GraphQL can be asked in
// the query.
func Query(f *policy.RequestFacts, w Wants) {
	f.Views = policy.Views{}
	if w.View&policy.ViewGraphQL == 0 || !asks(f.Query) {
		return
	}
	if f.GraphQL = one(nil, f.Query); f.GraphQL == nil {
		f.Hidden = policy.ViewGraphQL
	}
}

// typeOf reads a content type whose text is UTF-8.
func typeOf(contentType string) (kind string, params map[string]string, ok bool) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", nil, false
	}
	cs, said := params["charset"]
	return kind, params, !said || strings.EqualFold(cs, "utf-8")
}

// ofParts is the type of a form of parts with its boundary and nothing else: servers
// differ about which of several parameters they take for it.
var ofParts = regexp.MustCompile(`^(?i:multipart/form-data);[ \t]*(?i:boundary)=("[^"\\;]+"|[^" \t;,]+)$`)

func isJSON(kind string) bool {
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

// only reports whether the names of an object that servers may take for the known
// ones, since they do not tell capitals from others, are these.
func only(m map[string]any, known ...string) bool {
	for k := range m {
		for _, n := range known {
			if k != n && strings.EqualFold(k, n) {
				return false
			}
		}
	}
	return true
}
