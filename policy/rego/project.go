package rego

import (
	"encoding/json"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// project returns the part of an input that a phase can read, as JSON: what a
// record keeps. Values of header fields and parameters that carry secrets are
// not in it.
func project(reads []ast.Ref, in ast.Value) []byte {
	out := map[string]any{}
	for _, r := range reads {
		v, err := in.Find(r[1:])
		if err != nil {
			continue
		}
		j, err := ast.JSON(v)
		if err != nil {
			return nil
		}
		at := out
		path := r[1:]
		if len(path) == 0 {
			if m, ok := j.(map[string]any); ok {
				out = m
			}
			break
		}
		for _, t := range path[:len(path)-1] {
			k := key(t)
			next, ok := at[k].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[k] = next
			}
			at = next
		}
		at[key(path[len(path)-1])] = j
	}
	for _, of := range []string{"request", "response"} {
		if m, ok := out[of].(map[string]any); ok {
			mask(m, "headers")
			mask(m, "query")
			if _, ok := m["body"]; ok {
				m["body"] = "redacted"
			}
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return b
}

func key(t *ast.Term) string {
	if s, ok := t.Value.(ast.String); ok {
		return string(s)
	}
	return t.String()
}

func mask(m map[string]any, k string) {
	fs, ok := m[k].(map[string]any)
	if !ok {
		return
	}
	for name := range fs {
		low := strings.ToLower(name)
		for _, s := range []string{"auth", "cookie", "key", "token", "secret", "pass", "signature", "session", "credential", "jwt"} {
			if strings.Contains(low, s) {
				fs[name] = "redacted"
			}
		}
	}
}
