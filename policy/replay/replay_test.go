package replay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/policy/rego"
	"sallyport/proxy/canon"
	"sallyport/sandbox"
)

// load compiles a policy of one file for each package of text.
func load(t *testing.T, name string, texts ...string) *rego.Policy {
	t.Helper()
	dir := t.TempDir()
	for i, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%d.rego", i)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := rego.Load(t.Context(), rego.Options{Name: name, Dir: dir, Uncached: true, Deadline: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var box = &sandbox.Sandbox{ID: "0198", Name: "build", Labels: map[string]string{"team": "web"}, Identity: sandbox.Identity{Way: sandbox.WayRun}}

// get is a question about a request.
func get(method, host, path string, fields ...string) *policy.Question {
	a, err := dest.ParseAddr(host + ":443")
	if err != nil {
		panic(err)
	}
	p, segments, err := canon.Path(path)
	if err != nil {
		panic(err)
	}
	h := http.Header{}
	for i := 0; i+1 < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return &policy.Question{Phase: policy.Request, Sandbox: box, Destination: policy.Destination{Addr: a, Scheme: "https", Protocol: "http/1.1", SNI: host, Host: host},
		Request: &policy.RequestFacts{Method: method, Path: p, PathRaw: path, Segments: segments, Header: h, ContentType: h.Get("Content-Type"), BodyState: policy.BodyNone}}
}

func tcp(host string, port string) *policy.Question {
	a, err := dest.ParseAddr(host + ":" + port)
	if err != nil {
		panic(err)
	}
	return &policy.Question{Phase: policy.Connect, Sandbox: box, Destination: policy.Destination{Addr: a, Protocol: "tcp"}}
}

func asks(t *testing.T, kind, name string) *policy.Question {
	h, err := dest.ParseHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Question{Phase: policy.DNS, Sandbox: box, DNS: &policy.DNSFacts{Name: h, Type: kind}}
}

// eventOf is what the proxy records of a decision.
func eventOf(q *policy.Question, d *policy.Decision) *audit.Event {
	ev := &audit.Event{Name: audit.RequestDecision, Sandbox: audit.Sandbox{ID: box.ID, Name: box.Name, Way: string(box.Identity.Way), Labels: box.Labels}, Connection: audit.Connection{ID: "c"},
		Decision: &audit.Decision{Effect: "allow", Phase: string(d.Phase), Policy: d.Policy, Digest: d.Digest, Input: d.Input, Reads: d.Reads, Tags: d.Audit.Tags}}
	granted := d.Granted()
	switch q.Phase {
	case policy.DNS:
		ev.Name, ev.DNS = audit.DNSDecision, &audit.DNS{Question: q.DNS.Name.String() + ".", Type: q.DNS.Type}
	case policy.Connect:
		ev.Name, ev.Request = audit.TunnelDecision, &audit.Request{Host: q.Destination.Addr.Host().String(), Port: q.Destination.Addr.Port(), Protocol: q.Destination.Protocol, Size: -1}
		granted = granted && d.Opaque
	default:
		ev.Request = &audit.Request{Method: q.Request.Method, Scheme: q.Destination.Scheme, Host: q.Destination.Addr.Host().String(), Port: q.Destination.Addr.Port(), Path: q.Request.PathRaw, Protocol: "1.1", ContentType: q.Request.ContentType, Size: -1}
		if q.Destination.Protocol == "websocket" {
			ev.Request.Name = "websocket"
			granted = granted && d.WebSocket
		}
		for _, c := range d.Credentials {
			ev.Credential = append(ev.Credential, audit.CredentialUse{Name: c.Name})
		}
	}
	if d.Respond != nil {
		ev.Decision.Effect = "respond"
	} else if !granted {
		r, _ := d.Refusal()
		ev.Decision.Effect, ev.Decision.Code = "deny", r.Code
		if r.Code == "" {
			ev.Decision.Code = policy.CodeDefaultDeny
		}
	}
	return ev
}

// logOf is a log of what an engine decides about questions.
func logOf(t *testing.T, e policy.Engine, qs ...*policy.Question) string {
	t.Helper()
	dir := t.TempDir()
	l, err := audit.Open(dir, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range qs {
		if err := l.Append(eventOf(q, e.Decide(t.Context(), q))); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

const old = `package egress

allow if {
	input.destination.host == "api.example.com"
	input.request.headers.accept == ["a"]
}

allow if input.destination.host == "keys.example.com"

deny contains "no_admin" if input.request.segments[0] == "admin"

credentials contains "api" if input.request.headers["x-api-key"]

respond := {"status": 204} if input.request.path == "/health"
`

const oldConnect = `package egress.connect

allow if input.destination.port in {5432, 6379}

opaque if allow
`

const oldDNS = `package egress.dns

allow if input.question.type == "TXT"
`

// What flips, what does not, and what nobody can say, by the record alone.
func TestReplay(t *testing.T) {
	was := load(t, "old", old, oldConnect, oldDNS)
	ws := get("GET", "keys.example.com", "/ws")
	ws.Destination.Protocol = "websocket"
	log := logOf(t, was,
		get("GET", "api.example.com", "/v1/1", "Accept", "a"),
		get("GET", "api.example.com", "/v1/2"),
		get("POST", "keys.example.com", "/v1", "X-Api-Key", "k"),
		get("GET", "keys.example.com", "/admin/x"),
		get("GET", "keys.example.com", "/health"),
		ws, tcp("db.example.com", "5432"), tcp("db.example.com", "22"), asks(t, "TXT", "a.example.com"), asks(t, "MX", "a.example.com"))
	for name, c := range map[string]struct {
		now  []string
		want Result
		says []string // what groups say
	}{
		"itself": {[]string{old, oldConnect, oldDNS}, Result{Same: 9, Undecidable: 1}, []string{"undecidable POST keys.example.com request.headers.x-api-key is redacted"}},
		"what it did not read": {[]string{"package egress\n\nallow if input.request.headers[\"x-other\"]\n", oldConnect, oldDNS}, Result{Same: 4, Undecidable: 6},
			[]string{"undecidable GET api.example.com request.headers.x-other is not recorded"}},
		"what the record has anyway": {[]string{"package egress\n\nallow if {\n\tinput.request.method == \"GET\"\n\tinput.request.path == \"/v1/2\"\n\tinput.sandbox.labels.team == \"web\"\n\tinput.destination.scheme == \"https\"\n\tinput.destination.registered_domain == \"example.com\"\n\tinput.request.path_raw == \"/v1/2\"\n\tnot input.request.content_type\n\tnot input.request.grpc\n\tinput.destination.protocol == \"http/1.1\"\n}\n", oldConnect, oldDNS},
			Result{Same: 5, Denied: 3, Allowed: 1, Changed: 1}, []string{"allowed GET api.example.com", "denied GET api.example.com deny default_deny", "denied GET keys.example.com deny default_deny", "changed GET keys.example.com code"}},
		"connections and names": {[]string{old, "package egress.connect\n\nallow if input.destination.port == 22\n\nopaque if allow\n", "package egress.dns\n\nallow if \"example.com\" in input.question.name_suffixes\n\ndeny contains \"txt\" if input.question.type == \"TXT\"\n"},
			Result{Same: 5, Denied: 2, Allowed: 2, Undecidable: 1}, []string{"denied  db.example.com deny default_deny", "allowed  db.example.com allow egress.connect.allow at", "denied TXT a.example.com deny txt egress.dns.deny at", "allowed MX a.example.com"}},
		"credentials": {[]string{strings.Replace(old, `input.request.headers["x-api-key"]`, `input.request.method == "POST"`, 1) + "\naudit contains {\"tags\": [\"t\"]} if input.request.path == \"/v1/1\"\n", oldConnect, oldDNS}, Result{Same: 9, Changed: 1}, []string{"changed GET api.example.com tags"}},
		"nothing":     {[]string{"package egress\n\nallow := false\n"}, Result{Denied: 5, Same: 4, Changed: 1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Run(t.Context(), log, Options{Policies: []*rego.Policy{load(t, "new", c.now...)}})
			if err != nil {
				t.Fatal(err)
			}
			if got.Decisions != 10 || got.Same != c.want.Same || got.Denied != c.want.Denied || got.Allowed != c.want.Allowed || got.Changed != c.want.Changed || got.Undecidable != c.want.Undecidable {
				t.Errorf("got %+v\nwant %+v\n%s", got, c.want, strings.Join(groupsOf(got), "\n"))
			}
			for _, s := range c.says {
				if !strings.Contains(strings.Join(groupsOf(got), "\n"), s) {
					t.Errorf("nothing says %q:\n%s", s, strings.Join(groupsOf(got), "\n"))
				}
			}
		})
	}
}

func groupsOf(r *Result) (out []string) {
	for _, g := range r.Groups {
		out = append(out, strings.Join(strings.Split(strings.TrimSpace(strings.Join([]string{g.Kind, g.Method, g.Host}, " ")+" "+strings.TrimSpace(strings.Join([]string{g.What, g.Now, g.Rule}, " "))), "\x00"), " "))
	}
	return out
}

// What a record has by layer is put together, and layers are asked together: one that
// denies is enough where another cannot say.
func TestReplayLayers(t *testing.T) {
	org := load(t, "org", "package egress\n\nallow := true\n\ndeny contains \"method\" if input.request.method == \"DELETE\"\n")
	team := load(t, "team", "package egress\n\nallow if input.request.headers.accept == [\"a\"]\n")
	log := logOf(t, policy.NewLayers(org, team), get("GET", "a.example.com", "/", "Accept", "a"), get("DELETE", "a.example.com", "/", "Accept", "a"), get("GET", "a.example.com", "/"))
	run := func(ps ...*rego.Policy) *Result {
		r, err := Run(t.Context(), log, Options{Policies: ps})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := run(org, team); r.Same != 3 {
		t.Errorf("the same layers: %+v %v", r, groupsOf(r))
	}
	if r := run(team); r.Same != 2 || r.Allowed != 1 {
		t.Errorf("one of them: %+v %v", r, groupsOf(r))
	}
	unsure := load(t, "unsure", "package egress\n\nallow if input.request.headers.unknown\n")
	if r := run(org, unsure); r.Undecidable != 2 || r.Same != 1 {
		t.Errorf("one that cannot say: %+v %v", r, groupsOf(r))
	}
}

// The policy that decided then says what records do not: edits and limits.
func TestReplayAgainstOld(t *testing.T) {
	text := "package egress\n\nallow := true\n\nset_headers contains {\"name\": \"X-A\", \"value\": \"1\"}\n\nlimits contains {\"requests\": 5, \"per\": \"1s\"}\n"
	was := load(t, "old", text)
	log := logOf(t, was, get("GET", "a.example.com", "/"))
	for name, c := range map[string]struct {
		now, want string
		old       []*rego.Policy
	}{
		"the same":        {text, "", []*rego.Policy{was}},
		"a header":        {strings.Replace(text, "\"1\"}", "\"2\"}", 1), "set_headers", []*rego.Policy{was}},
		"a limit":         {strings.Replace(text, "5,", "6,", 1), "limits", []*rego.Policy{was}},
		"without the old": {strings.Replace(text, "5,", "6,", 1), "", nil},
		"another old":     {strings.Replace(text, "5,", "6,", 1), "", []*rego.Policy{load(t, "other", "package egress\n\nallow := true\n")}},
	} {
		r, err := Run(t.Context(), log, Options{Policies: []*rego.Policy{load(t, "new", c.now)}, Old: c.old})
		if err != nil {
			t.Fatal(err)
		}
		if got := ""; len(r.Groups) > 0 {
			got = r.Groups[0].What
			if got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		} else if c.want != "" {
			t.Errorf("%s: nothing differs, want %q", name, c.want)
		}
	}
}

// A log that was changed is an error, with what came before; what it holds makes no
// more groups than there may be.
func TestReplayOfHostileLog(t *testing.T) {
	was := load(t, "old", "package egress\n\nallow := true\n")
	var qs []*policy.Question
	for i := range maxGroups + 50 {
		qs = append(qs, get("GET", fmt.Sprintf("h%d.example.com", i), "/"))
	}
	log := logOf(t, was, qs...)
	now := load(t, "new", "package egress\n\nallow := false\n")
	r, err := Run(t.Context(), log, Options{Policies: []*rego.Policy{now}})
	if err != nil || r.Denied != len(qs) || len(r.Groups) != maxGroups || r.Rest != 50 {
		t.Fatal(err, r.Denied, len(r.Groups), r.Rest)
	}
	files, _ := filepath.Glob(filepath.Join(log, "*.ndjson"))
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(b), "h20.example.com", "h21.example.com", 1)
	for name, text := range map[string]string{"changed": changed, "endless": string(b) + strings.Repeat("x", 8<<20), "no record": strings.Replace(string(b), "{\"v\"", "{\"w\"", 1)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(files[0])), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Run(t.Context(), dir, Options{Policies: []*rego.Policy{now}})
		var broken *audit.BreakError
		if name == "endless" && err == nil { // an end that was not written whole counts for nothing
			continue
		}
		if !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
		}
		r, err := Run(t.Context(), dir, Options{Policies: []*rego.Policy{now}, Read: audit.ReadOptions{Unverified: true}})
		if err != nil || r.Denied < len(qs)-1 {
			t.Errorf("%s, unverified: %v %+v", name, err, r)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, log, Options{Policies: []*rego.Policy{now}}); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}
