package rego

import (
	"encoding/binary"
	"maps"
	"net/textproto"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// A keyPart writes one part of a question, so that two that differ in it are
// written differently. It reports false for what no key is made of.
type keyPart func(dst []byte, q *policy.Question) ([]byte, bool)

// sandboxRef is what only a cache's key by itself holds apart.
var sandboxRef = ast.MustParseRef("input.sandbox")

// keyParts returns the parts that make the key of a phase, or nil when its
// decisions cannot be kept: it asks for the time, or reads what has no key.
func keyParts(ph policy.Phase, x *phase, clock bool) []keyPart {
	if clock || ph != policy.Request && ph != policy.Connect {
		return nil
	}
	out := []keyPart{certain(x)}
	for _, r := range x.reads {
		ps := partsOf(r[1:])
		if ps == nil {
			return nil
		}
		out = append(out, ps...)
	}
	return out
}

// certain keeps questions out whose answer can depend on what is not known.
func certain(x *phase) keyPart {
	body, size := overlaps(x.reads, bodyRef) || readsViews(x), overlaps(x.reads, sizeRef)
	return func(dst []byte, q *policy.Question) ([]byte, bool) {
		r := q.Request
		if r == nil || q.Phase == policy.Connect {
			return append(dst, 0), true
		}
		return append(dst, 1), (!body || (r.BodyState == policy.BodyNone || r.BodyState == "") && r.GraphQL == nil && r.Hidden == 0) && (!size || r.Size >= 0)
	}
}

func textOf(get func(*policy.Question) string) []keyPart {
	return []keyPart{func(dst []byte, q *policy.Question) ([]byte, bool) { return addText(dst, get(q)), true }}
}

func addText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func addList(dst []byte, vs []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(vs)))
	for _, v := range vs {
		dst = addText(dst, v)
	}
	return dst
}

// addLists writes a map of lists in order of its names, each as it is called.
func addLists[M ~map[string][]string](dst []byte, m M, name func(string) string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		dst = addList(addText(dst, name(k)), m[k])
	}
	return dst
}

func request(add func(dst []byte, r *policy.RequestFacts) []byte) []keyPart {
	return []keyPart{func(dst []byte, q *policy.Question) ([]byte, bool) {
		if q.Request == nil {
			return dst, true
		}
		return add(dst, q.Request), true
	}}
}

func requestText(get func(*policy.RequestFacts) string) []keyPart {
	return request(func(dst []byte, r *policy.RequestFacts) []byte { return addText(dst, get(r)) })
}

// partsOf returns what makes the value of an input path, which may be a subtree
// of the input, or lie below a part that is only taken whole.
func partsOf(path ast.Ref) []keyPart {
	if len(path) == 0 {
		return slices.Concat(partsOf(refOf("sandbox")), partsOf(refOf("destination")), partsOf(refOf("request")))
	}
	var names []string
	for i, t := range path {
		s, ok := t.Value.(ast.String)
		if !ok && i < 2 {
			return nil
		}
		if !ok { // an index into a list, which is taken whole
			break
		}
		names = append(names, string(s))
	}
	if names[0] == "sandbox" {
		return []keyPart{} // it is in the key of the cache, as itself
	}
	if len(names) == 1 {
		var out []keyPart
		for _, child := range wholes[names[0]] {
			out = append(out, partsOf(refOf(names[0], child))...)
		}
		return out
	}
	if names[0] == "destination" {
		return destinationParts(names[1])
	}
	if names[0] == "request" {
		return requestParts(names[1], names[2:])
	}
	return nil
}

// wholes are the parts of what can be read as a whole.
var wholes = map[string][]string{
	"destination": {"host", "port", "scheme", "protocol", "authority"},
	"request":     {"method", "path", "path_raw", "segments", "query", "headers", "size", "content_type", "body_state", "body", "form", "multipart", "graphql", "rpc", "grpc"},
}

func refOf(names ...string) (out ast.Ref) {
	for _, n := range names {
		out = append(out, ast.StringTerm(n))
	}
	return out
}

func destinationParts(name string) []keyPart {
	switch name {
	case "host", "host_suffixes", "registered_domain":
		return textOf(func(q *policy.Question) string { return q.Destination.Addr.Host().String() })
	case "port":
		return []keyPart{func(dst []byte, q *policy.Question) ([]byte, bool) {
			return binary.BigEndian.AppendUint16(dst, q.Destination.Addr.Port()), true
		}}
	case "scheme":
		return textOf(func(q *policy.Question) string { return q.Destination.Scheme })
	case "protocol":
		return textOf(func(q *policy.Question) string { return q.Destination.Protocol })
	case "authority":
		return []keyPart{func(dst []byte, q *policy.Question) ([]byte, bool) {
			return addText(addText(addText(dst, q.Destination.Connect), q.Destination.SNI), q.Destination.Host), true
		}}
	}
	return nil
}

func requestParts(name string, below []string) []keyPart {
	switch name {
	case "method":
		return requestText(func(r *policy.RequestFacts) string { return r.Method })
	case "path":
		return requestText(func(r *policy.RequestFacts) string { return r.Path })
	case "path_raw":
		return requestText(func(r *policy.RequestFacts) string { return r.PathRaw })
	case "segments":
		return request(func(dst []byte, r *policy.RequestFacts) []byte { return addList(dst, r.Segments) })
	case "grpc":
		return request(func(dst []byte, r *policy.RequestFacts) []byte {
			if r.GRPC == nil {
				return append(dst, 0)
			}
			return addText(addText(append(dst, 1), r.GRPC.Service), r.GRPC.Method)
		})
	case "content_type":
		return requestText(func(r *policy.RequestFacts) string { return r.ContentType })
	case "body_state":
		return requestText(func(r *policy.RequestFacts) string { return string(r.BodyState) })
	case "body", "form", "multipart", "graphql", "rpc": // certain says that there is none
		return []keyPart{}
	case "size":
		return request(func(dst []byte, r *policy.RequestFacts) []byte { return binary.AppendVarint(dst, r.Size) })
	case "query":
		if len(below) > 0 {
			return request(func(dst []byte, r *policy.RequestFacts) []byte { return addList(dst, r.Query[below[0]]) })
		}
		return request(func(dst []byte, r *policy.RequestFacts) []byte {
			return addLists(dst, r.Query, func(s string) string { return s })
		})
	case "headers":
		if len(below) > 0 {
			return headerPart(below[0])
		}
		return request(func(dst []byte, r *policy.RequestFacts) []byte { return addLists(dst, r.Header, strings.ToLower) })
	}
	return nil
}

// headerPart writes the fields of a name in lower case. A name that is spelt in two
// ways has no one value, so there is no key.
func headerPart(name string) []keyPart {
	usual := textproto.CanonicalMIMEHeaderKey(name)
	return []keyPart{func(dst []byte, q *policy.Question) ([]byte, bool) {
		if q.Request == nil {
			return dst, true
		}
		var vs []string
		found := 0
		for k, v := range q.Request.Header {
			if k == usual || len(k) == len(name) && strings.ToLower(k) == name {
				vs, found = v, found+1
			}
		}
		if found == 0 {
			return append(dst, 0), true
		}
		return addList(append(dst, 1), vs), found == 1
	}}
}
