package main

import (
	"maps"
	"slices"
	"strings"
)

// withPlaceholders gives an environment the placeholders of credentials, in the place
// of what it has under their names.
func withPlaceholders(env []string, by map[string]string) []string {
	for _, name := range slices.Sorted(maps.Keys(by)) {
		env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
		env = append(env, name+"="+by[name])
	}
	return env
}
