package replay

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/policy/rego"
	"sallyport/proxy/canon"
)

// An Asked is a decision as a record has it.
type Asked struct {
	ID      string
	At      time.Time
	Phase   policy.Phase
	Effect  string // allow, deny, error, respond
	Code    string // of a refusal
	Would   string // in observe, the code that would have refused it
	Sandbox string // its name
	Scheme  string
	Host    string // or the name that a name server is asked about
	Port    int64
	Method  string // or the type of that question
	Path    string // as it was sent
	Policy  string
	Digest  string
	// Names are those of the credentials that were asked for; Named reports whether
	// policy alone said so.
	Names []string
	Named bool
	Tags  []string
	Kept  *rego.Kept

	websocket bool
	whole     bool // nothing of it was cut to fit
}

// Decisions are the events that tell of one.
var Decisions = []audit.Name{audit.RequestDecision, audit.TunnelDecision, audit.MessageDecision, audit.DNSDecision}

// Why a record is not asked about again.
const (
	NoDecision = "no decision"
	ByWall     = "refused by the wall, whatever a policy says"
	Broken     = "the record's input is none"
)

// AskedOf is what a record says of a decision, or why it cannot be asked about
// again; wall are the codes of refusals that no policy makes.
func AskedOf(e audit.Entry, wall map[string]bool) (*Asked, string) {
	if !slices.Contains(Decisions, audit.Name(e.Str("event.name"))) {
		return nil, NoDecision
	}
	a := &Asked{ID: e.Str("event.id"), At: since(e), Phase: policy.Phase(e.Str("policy.phase")), Effect: e.Str("policy.decision"), Code: e.Str("policy.code"), Would: e.Str("policy.would_deny"),
		Sandbox: e.Str("sandbox.name"), Scheme: e.Str("url.scheme"), Host: e.Str("url.domain"), Port: e.Int("url.port"), Method: e.Str("http.request.method"), Path: e.Str("url.path"),
		Policy: e.Str("policy.name"), Digest: e.Str("policy.bundle.sha256"), Tags: e.Texts("tags"), Kept: &rego.Kept{}, websocket: e.Str("network.protocol.name") == "websocket"}
	if a.Phase == policy.DNS {
		a.Host, a.Method = strings.TrimSuffix(e.Str("dns.question.name"), "."), e.Str("dns.question.type")
	}
	if a.Digest == "" || a.Phase == "" || a.Effect == "deny" && wall[a.Code] && !byPolicy[a.Code] {
		return nil, ByWall
	}
	a.whole = !slices.Contains(a.Tags, "record_cut")
	uses, _ := e.Fields["credential.uses"].([]any)
	for _, u := range uses {
		m, _ := u.(map[string]any)
		if n, ok := m["name"].(string); ok && n != "" {
			a.Names = append(a.Names, n)
		}
	}
	slices.Sort(a.Names)
	a.Names = slices.Compact(a.Names)
	a.Named = e.Str("server.binding") == "" && a.whole
	if !a.input(e) {
		return nil, Broken
	}
	a.known(e)
	return a, ""
}

// byPolicy are the codes of refusals that come of what a policy says.
var byPolicy = map[string]bool{policy.CodeDefaultDeny: true, policy.CodePolicyError: true, policy.CodeUncertain: true, policy.CodeConflict: true}

// input takes what the record has of the input: of layers, of each by its name.
func (a *Asked) input(e audit.Entry) bool {
	v, there := e.Fields["policy.input"]
	if !there {
		return true
	}
	in, ok := v.(map[string]any)
	if !ok {
		return false
	}
	reads := e.Fields["policy.reads"]
	if !strings.Contains(a.Digest, "+") {
		return a.Kept.Recorded(in, pointers(reads)) == nil
	}
	by, _ := reads.(map[string]any)
	for name, v := range in {
		in, ok := v.(map[string]any)
		if !ok || a.Kept.Recorded(in, pointers(by[name])) != nil {
			return false
		}
	}
	return true
}

// pointers is a list of texts; nil is none.
func pointers(v any) []string {
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	out := []string{}
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// known takes what the record says of the input elsewhere. A text that was cut, or
// that a secret was taken out of, is not it.
func (a *Asked) known(e audit.Entry) {
	k := a.Kept
	text := func(field string) (string, bool) {
		s := e.Str(field)
		_, cut := e.Fields[field+".sha256"]
		return s, s != "" && !cut && !strings.Contains(s, "[REDACTED")
	}
	know := func(field string, path ...string) {
		if s, ok := text(field); ok {
			k.Knows(s, path...)
		}
	}
	know("sandbox.id", "sandbox", "id")
	know("sandbox.name", "sandbox", "name")
	know("sandbox.identity.method", "sandbox", "identity", "way")
	a.labels(e)
	if a.Phase == policy.DNS {
		if h, ok := host(a.Host); ok {
			k.Knows(a.Host, "question", "name")
			k.Knows(texts(h.Suffixes()), "question", "name_suffixes")
			k.Knows(some(h.RegisteredDomain()), "question", "registered_domain")
		}
		know("dns.question.type", "question", "type")
		return
	}
	if h, ok := host(a.Host); ok {
		k.Knows(a.Host, "destination", "host")
		k.Knows(texts(h.Suffixes()), "destination", "host_suffixes")
		k.Knows(some(h.RegisteredDomain()), "destination", "registered_domain")
	}
	if n, ok := e.Fields["url.port"].(json.Number); ok {
		k.Knows(n, "destination", "port")
	}
	if p := protocol(e); p != "" {
		k.Knows(p, "destination", "protocol")
	}
	if a.Phase == policy.Connect {
		return
	}
	know("url.scheme", "destination", "scheme")
	know("http.request.method", "request", "method")
	if s, ok := text("url.path"); ok {
		if path, segments, err := canon.Path(s); err == nil {
			k.Knows(s, "request", "path_raw")
			k.Knows(path, "request", "path")
			k.Knows(texts(segments), "request", "segments")
			a.contents(e, text)
		}
	}
}

// contents takes the type of a body, and its size. Records of messages do not have them.
func (a *Asked) contents(e audit.Entry, text func(string) (string, bool)) {
	if audit.Name(e.Str("event.name")) != audit.RequestDecision || !a.whole {
		return
	}
	if n, ok := e.Fields["http.request.body.size"].(json.Number); ok {
		a.Kept.Knows(n, "request", "size")
	}
	s, whole := text("http.request.mime_type")
	if s != "" && !whole {
		return
	}
	a.Kept.Knows(some(s), "request", "content_type")
	if canon.GRPCOf(s) == canon.NoGRPC {
		a.Kept.Knows(nil, "request", "grpc")
	}
}

// labels takes those of the sandbox, if all of them are there.
func (a *Asked) labels(e audit.Entry) {
	m, _ := e.Fields["sandbox.labels"].(map[string]any)
	if e.Str("sandbox.id") == "" || !a.whole || len(m) >= 64 {
		return
	}
	out := map[string]any{}
	for name, v := range m {
		s, ok := v.(string)
		_, cut := m[name+".sha256"]
		if !ok || cut || strings.Contains(s, "[REDACTED") || strings.Contains(name, "[REDACTED") || len(name) > 40 {
			return
		}
		out[name] = s
	}
	a.Kept.Knows(out, "sandbox", "labels")
}

// protocol is what a record says of it, where it says enough.
func protocol(e audit.Entry) string {
	v := e.Str("network.protocol.version")
	switch {
	case e.Str("network.protocol.name") == "websocket":
		return "websocket"
	case v == "tcp" || v == "tls":
		return v
	case v == "1.0" || v == "1.1":
		return "http/" + v
	case v == "2" && e.Str("downstream.tls.alpn") == "h2":
		return "h2"
	}
	return ""
}

// host is a name in its one form.
func host(s string) (dest.Host, bool) {
	h, err := dest.ParseHost(s)
	return h, err == nil && h.String() == s
}

func texts(vs []string) []any {
	out := make([]any, 0, len(vs))
	for _, v := range vs {
		out = append(out, v)
	}
	return out
}

// some is a text, or nothing.
func some(s string) any {
	if s == "" {
		return nil
	}
	return s
}
