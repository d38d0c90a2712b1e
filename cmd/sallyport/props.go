package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// parseProps reads KEY=VALUE; a VALUE that is JSON is taken as such, any other
// as text. Numbers keep their digits.
func parseProps(in []string) (map[string]any, error) {
	out := map[string]any{}
	for _, s := range in {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("--prop %q: expected KEY=VALUE", s)
		}
		var j any
		d := json.NewDecoder(strings.NewReader(v))
		d.UseNumber()
		if err := d.Decode(&j); err == nil && !d.More() {
			out[k] = j
		} else {
			out[k] = v
		}
	}
	return out, nil
}
