package rego

import (
	"encoding/json"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// project is an input as JSON, as a record keeps it. Values of header fields and
// parameters that carry secrets are not in it, nor are bodies.
func project(in ast.Value, hidden bool) []byte {
	o, ok := in.(ast.Object)
	if !ok {
		return nil
	}
	return appendObject(make([]byte, 0, 256), o, func(dst []byte, k string, v ast.Value) []byte {
		of, ok := v.(ast.Object)
		if !ok || k != "request" && k != "response" && k != "message" {
			return appendValue(dst, v)
		}
		dst = appendObject(dst, of, func(dst []byte, k string, v ast.Value) []byte {
			fields, ok := v.(ast.Object)
			switch {
			case k == "body" || k == "form" || k == "multipart":
				return append(dst, redacted...)
			case k == "rpc":
				return appendCalls(dst, v)
			case ok && (k == "headers" || k == "query"):
				return appendObject(dst, fields, func(dst []byte, k string, v ast.Value) []byte {
					if secretive(k) {
						return append(dst, redacted...)
					}
					return appendValue(dst, v)
				})
			}
			return appendValue(dst, v)
		})
		if hidden && k == "request" {
			if dst = dst[:len(dst)-1]; dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = append(dst, `"graphql":"`+unknownGraphQL+`"}`...)
		}
		return dst
	})
}

const redacted = `"redacted"`

// unknownGraphQL stands in a record for what is asked in a query and is not known.
const unknownGraphQL = "unknown"

// secretive reports whether a field of this name may carry a secret.
func secretive(name string) bool {
	low := strings.ToLower(name)
	for _, s := range [...]string{"auth", "cookie", "key", "token", "secret", "pass", "signature", "session", "credential", "jwt"} {
		if strings.Contains(low, s) {
			return true
		}
	}
	return false
}

// appendObject writes an object in order of its keys, each value by a function.
func appendObject(dst []byte, o ast.Object, each func(dst []byte, k string, v ast.Value) []byte) []byte {
	dst = append(dst, '{')
	first := true
	o.Foreach(func(k, v *ast.Term) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		name, ok := k.Value.(ast.String)
		if !ok {
			name = ast.String(k.String())
		}
		dst = append(appendText(dst, string(name)), ':')
		dst = each(dst, string(name), v.Value)
	})
	return append(dst, '}')
}

func appendValue(dst []byte, v ast.Value) []byte {
	switch v := v.(type) {
	case ast.String:
		return appendText(dst, string(v))
	case ast.Number:
		return append(dst, v...)
	case ast.Object:
		return appendObject(dst, v, func(dst []byte, _ string, v ast.Value) []byte { return appendValue(dst, v) })
	case *ast.Array:
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, v.Elem(i).Value)
		}
		return append(dst, ']')
	}
	return append(dst, v.String()...) // true, false, null
}

// appendText writes a text as JSON: what is plain as it is, the rest as
// encoding/json does.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			b, err := json.Marshal(s)
			if err != nil {
				return append(dst, redacted...)
			}
			return append(dst, b...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}
