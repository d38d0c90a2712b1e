package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// parseProps reads KEY=VALUE; a VALUE that is JSON is taken as such, any other
// as text, unless it begins as an object, a list or a text of JSON does. Numbers keep
// their digits.
func parseProps(in []string) (map[string]any, error) {
	out := map[string]any{}
	for _, s := range in {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("property %q: expected KEY=VALUE", s)
		}
		var j any
		d := json.NewDecoder(strings.NewReader(v))
		d.UseNumber()
		err := d.Decode(&j)
		switch more := d.More(); {
		case err == nil && !more:
			out[k] = j
		case v != "" && strings.ContainsRune("{[\"", rune(v[0])):
			why := "something stands behind it"
			if err != nil {
				why = strings.TrimPrefix(err.Error(), "json: ")
			}
			return nil, fmt.Errorf("property %s: %s begins as JSON and is none: %s; a text that begins so stands in quotes, \"…\"", k, v, why)
		default:
			out[k] = v
		}
	}
	return out, nil
}
