package terms

import "strings"

// HostHint is what to write in place of a URL, or of a host with a path, where a host
// is expected; "" when it is neither.
func HostHint(s string) string {
	rest, url := s, false
	if _, r, ok := strings.Cut(s, "://"); ok {
		rest, url = r, true
	}
	host, _, path := strings.Cut(rest, "/")
	switch {
	case host == "" || !url && !path:
		return ""
	case path && strings.TrimSuffix(rest, "/") != host:
		return "expected a host, without scheme and path, such as " + host + ": paths are for a policy to decide about, in Rego"
	}
	return "expected a host, not a URL, such as " + host
}
