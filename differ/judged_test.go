package differ

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// policyText allows everything, and tells origins what it was asked about.
const policyText = `package egress

allow if true

judged := {
	"secret": "{secret}",
	"method": input.request.method,
	"path_raw": input.request.path_raw,
	"query": input.request.query,
	"headers": input.request.headers,
	"body_state": input.request.body_state,
	"host": input.destination.host,
	"port": input.destination.port,
	"scheme": input.destination.scheme,
}

set_headers contains {"name": "X-Judged", "value": base64url.encode_no_pad(json.marshal(judged))}
`

// A judged is what policy was asked about, as it told it to the origin.
type judged struct {
	Secret    string              `json:"secret"`
	Method    string              `json:"method"`
	PathRaw   string              `json:"path_raw"`
	Query     map[string][]string `json:"query"`
	Headers   map[string][]string `json:"headers"`
	BodyState string              `json:"body_state"`
	Host      string              `json:"host"`
	Port      int                 `json:"port"`
	Scheme    string              `json:"scheme"`
}

// framing are fields that say how a message is cut, or that each hop makes anew.
var framing = []string{"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "expect", "keep-alive"}

// added are fields that this side or a front puts on.
var added = []string{"x-judged", "via", "x-forwarded-for", "x-forwarded-proto", "user-agent", "accept-encoding"}

// differs says how what a server read is another thing than what was judged; ""
// is not at all.
func (s *seen) differs(secret string) string {
	told := s.all("X-Judged")
	if len(told) != 1 {
		return fmt.Sprintf("it was not judged: %d X-Judged", len(told))
	}
	b, err := base64.RawURLEncoding.DecodeString(told[0])
	var j judged
	if err != nil || json.Unmarshal(b, &j) != nil || j.Secret != secret {
		return fmt.Sprintf("it was not judged: X-Judged is %.60q", told[0])
	}
	if s.Method != j.Method {
		return fmt.Sprintf("method: judged %q, read %q", j.Method, s.Method)
	}
	target := s.Target
	if i := strings.Index(target, "://"); i > 0 && target[0] != '/' { // how HTTP/2 is logged
		if at := strings.IndexByte(target[i+3:], '/'); at >= 0 {
			target = target[i+3+at:]
		}
	}
	path, query, _ := strings.Cut(target, "?")
	if path != j.PathRaw && (s.Origin != "apache>go" || path != "/"+strings.TrimLeft(j.PathRaw, "/")) { // Apache forwards without slashes at the beginning

		return fmt.Sprintf("path: judged %q, read %q", j.PathRaw, path)
	}
	q, err := url.ParseQuery(query)
	if err != nil || !sameValues(q, j.Query) {
		return fmt.Sprintf("query: judged %q, read %q", j.Query, query)
	}
	authority := fmt.Sprintf("%s:%d", j.Host, j.Port)
	if strings.ToLower(s.Host) != authority {
		return fmt.Sprintf("host: judged %q, read %q", authority, s.Host)
	}
	if s.log {
		return ""
	}
	if j.BodyState == "none" && s.Size != 0 {
		return fmt.Sprintf("body: judged to be none, %d bytes read", s.Size)
	}
	if len(s.Trailers) > 0 {
		return fmt.Sprintf("trailers: read %q", s.Trailers)
	}
	return s.headersDiffer(&j)
}

func (s *seen) headersDiffer(j *judged) string {
	read := map[string][]string{}
	for _, h := range s.Headers {
		k := strings.ToLower(h[0])
		if ours(k) && k != "x-judged" {
			return fmt.Sprintf("%s: policy sets it, and servers take this name for the same", h[0])
		}
		read[k] = append(read[k], h[1])
	}
	if l := read["content-length"]; len(l) > 1 || len(l) == 1 && s.Complete && l[0] != fmt.Sprint(s.Size) {
		return fmt.Sprintf("Content-Length is %q of %d bytes", l, s.Size)
	}
	if s.Origin == "node" || s.Origin == "h11" {
		for k, vs := range j.Headers {
			j.Headers[k] = latin1(vs)
		}
	}
	for k, vs := range read {
		if slices.Contains(framing, k) || slices.Contains(added, k) && j.Headers[k] == nil {
			continue
		}
		if !ours(k) && !sameList(vs, j.Headers[k]) {
			return fmt.Sprintf("%s: judged %q, read %q", k, j.Headers[k], vs)
		}
	}
	if strings.HasSuffix(s.Origin, ">go") { // a front leaves out what it does not like
		return ""
	}
	for k, vs := range j.Headers {
		if !slices.Contains(framing, k) && !ours(k) && !sameList(read[k], vs) {
			return fmt.Sprintf("%s: judged %q, read %q", k, vs, read[k])
		}
	}
	return ""
}

// ours reports whether servers take a name for that of the field that policy sets.
func ours(name string) bool {
	return strings.NewReplacer("_", "-", ".", "-").Replace(name) == "x-judged"
}

// latin1 is what node makes of bytes.
func latin1(vs []string) (out []string) {
	for _, v := range vs {
		var b []rune
		for i := range len(v) {
			b = append(b, rune(v[i]))
		}
		out = append(out, string(b))
	}
	return out
}

// sameList compares values of a field, however a server joins them.
func sameList(a, b []string) bool {
	join := func(vs []string) string { return strings.ReplaceAll(strings.Join(vs, ","), "; ", ",") }
	x, y := join(a), join(b)
	return strings.ReplaceAll(x, ", ", ",") == strings.ReplaceAll(y, ", ", ",")
}

func sameValues(a, b map[string][]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, vs := range a {
		if !slices.Equal(vs, b[k]) {
			return false
		}
	}
	return true
}
