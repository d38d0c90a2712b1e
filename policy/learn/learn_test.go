package learn

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/policy"
	"sallyport/policy/rego"
	"sallyport/policy/replay"
)

// asked is an event of a decision by a policy that read nothing.
func asked(effect, code, method, scheme, host, path string) *audit.Event {
	return &audit.Event{Name: audit.RequestDecision, Sandbox: audit.Sandbox{ID: "s", Name: "build", Way: "run"}, Connection: audit.Connection{ID: "c"},
		Request:  &audit.Request{Method: method, Scheme: scheme, Host: host, Port: 443, Path: path, Protocol: "1.1", Size: -1},
		Decision: &audit.Decision{Effect: effect, Code: code, Phase: string(policy.Request), Policy: "default", Digest: "d", Input: []byte(`{}`), Reads: []byte(`[]`)}}
}

func get(path string) *audit.Event {
	return asked("allow", "", "GET", "https", "api.example.com", path)
}

func logOf(t *testing.T, evs ...*audit.Event) string {
	t.Helper()
	dir := t.TempDir()
	l, err := audit.Open(dir, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range evs {
		if err := l.Append(ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// learnt is what is learnt from a log, written, checked as strictly as can be, tested,
// formatted, and replayed.
func learnt(t *testing.T, o Options, evs ...*audit.Event) (*Learnt, string, *replay.Result) {
	t.Helper()
	log := logOf(t, evs...)
	l, err := Run(t.Context(), log, o)
	if err != nil {
		t.Fatal(err)
	}
	files, err := l.Files()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	all := ""
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "_test.rego") {
			all += string(text)
		}
	}
	if r := rego.Inspect(t.Context(), dir); !r.OK || len(r.Warnings) > 0 {
		t.Fatalf("%v %v\n%s", r.Errors, r.Warnings, all)
	}
	if bad, err := rego.Format(dir, false); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	rep, err := rego.RunTests(t.Context(), dir, rego.TestOptions{})
	if err != nil || rep.Failed > 0 || rep.Passed == 0 {
		var b strings.Builder
		if rep != nil {
			rep.WriteFailures(&b)
		}
		t.Fatalf("%v %s\n%s", err, b.String(), all)
	}
	p, err := rego.Load(t.Context(), rego.Options{Name: "learnt", Dir: dir, Uncached: true, Deadline: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	r, err := replay.Run(t.Context(), log, replay.Options{Policies: []*rego.Policy{p}})
	if err != nil {
		t.Fatal(err)
	}
	return l, all, r
}

// What was allowed is, by host, method and path; ids stand for others of their kind,
// and one number alone for itself. What was refused is not.
func TestLearn(t *testing.T) {
	ws := get("/live")
	ws.Request.Name = "websocket"
	ws.Decision.Would = policy.CodeDefaultDeny
	withKey := get("/v1/items/7")
	withKey.Credential = []audit.CredentialUse{{Name: "api"}}
	_, text, r := learnt(t, Options{},
		get("/v1/items/7"), get("/v1/items/8"), withKey, get("/v2/list"), asked("allow", "", "HEAD", "https", "api.example.com", "/v2/list"), get("/x/0b9c3f5e-1c9e-4b7e-9f2d-0a1b2c3d4e5f"),
		get("/c/0123456789abcdef0123456789abcdef01234567"), get("/api/2"), get("/"), ws,
		asked("deny", "no_admin", "GET", "https", "api.example.com", "/admin"), asked("deny", policy.CodeDefaultDeny, "GET", "https", "evil.example.com", "/"),
		asked("respond", "", "GET", "https", "answered.example.com", "/"),
		&audit.Event{Name: audit.TunnelDecision, Sandbox: audit.Sandbox{ID: "s"}, Connection: audit.Connection{ID: "c"}, Request: &audit.Request{Host: "db.example.com", Port: 5432, Protocol: "tcp", Size: -1}, Decision: &audit.Decision{Effect: "allow", Phase: "connect", Digest: "d", Policy: "p"}},
		&audit.Event{Name: audit.DNSDecision, Sandbox: audit.Sandbox{ID: "s"}, DNS: &audit.DNS{Question: "a.example.com.", Type: "TXT"}, Decision: &audit.Decision{Effect: "allow", Phase: "dns", Digest: "d", Policy: "p"}})
	if r.Flips() != 1 || r.Denied != 1 || r.Undecidable != 0 { // what a policy answered itself is not asked of anybody
		t.Errorf("%+v", r)
	}
	for _, want := range []string{`["v1", "items", s2] = input.request.segments`, "learnt.number(s2)", "learnt.uuid(s1)", "learnt.hex_id(s1)", `input.request.method in {"GET", "HEAD"}`, `"/", "/api/2"`,
		"websocket if {", `input.request.path == "/live"`, `credentials contains "api" if {`, "opaque if allow", "input.destination.port == 5432", `input.question.name == "a.example.com"`, "# https://api.example.com:443: 10 requests."} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing says %s:\n%s", want, text)
		}
	}
	for _, not := range []string{"evil.example.com", "admin", "answered"} {
		if strings.Contains(text, not) {
			t.Errorf("%s was learnt:\n%s", not, text)
		}
	}
	_, again, _ := learnt(t, Options{Paths: Exact}, get("/v1/items/7"), get("/v1/items/8"))
	if !strings.Contains(again, `input.request.path in {"/v1/items/7", "/v1/items/8"}`) {
		t.Error(again)
	}
	_, again, _ = learnt(t, Options{Paths: None}, get("/v1/items/7"), get("/x"))
	if strings.Contains(again, "path") && strings.Contains(again, "segments") || !strings.Contains(again, `input.request.method == "GET"`) {
		t.Error(again)
	}
}

// hostile 420: what a sandbox says is a text in the policy, whatever it looks like.
func TestLearnFromHostileLog(t *testing.T) {
	var evs []*audit.Event
	for _, s := range []string{`"`, `\`, "`", "}", "\"}%20allow%20if%20true%20#", "%22%0d", "$x", "%E2%80%A8allow", "{{", "import", "_", "[_]", "%25s", "\"%20in%20{", "</script>", "not-seen", "'", "%F0%9F%92%A9"} {
		p := strings.NewReplacer(`"`, "%22", `\`, "%5C%5C", "<", "%3C", ">", "%3E", "`", "%60", "{", "%7B", "}", "%7D").Replace(s)
		evs = append(evs, get("/"+p), get("/"+p+"/7"), get("/"+p+"/8"), asked("allow", "", "GET", "https", "api.example.com", "/x/"+p))
	}
	evs = append(evs, asked("allow", "", "NOT-SEEN", "https", "not-seen.invalid", "/not-seen"), asked("allow", "", "A\"} allow if true #", "https", "b.example.com", "/"),
		asked("allow", "", "GET", "https", "c.example.com\n}\nallow := true\n#", "/"), asked("allow", "", "GET", "x\" } allow if true", "d.example.com", "/"))
	evs[0].Credential = []audit.CredentialUse{{Name: "a\" } allow := true #"}}
	evs[0].Sandbox.Name = "x\nallow := true"
	l, text, r := learnt(t, Options{}, evs...)
	if strings.Contains(text, "\nallow := true") || strings.Contains(text, "\nallow if true") || strings.Contains(text, "c.example.com") {
		t.Error(text)
	}
	t.Log(l.Left)
	if l.Left[unnamed] == 0 || r.Allowed > 0 {
		t.Errorf("%v %+v", l.Left, r)
	}
}

// hostile 421: no sandbox makes what is learnt endless: many paths become their
// beginning, many hosts are left out and counted.
func TestLearntIsBounded(t *testing.T) {
	var evs []*audit.Event
	for i := range 600 {
		evs = append(evs, get(fmt.Sprintf("/v1/users/u-%d/a", i)))
	}
	evs = append(evs, get("/v2/x"))
	l, text, r := learnt(t, Options{MaxPaths: 20}, evs...)
	if len(text) > 4000 || !strings.Contains(text, "There were too many paths") || !strings.Contains(text, `input.request.segments[1] == "users"`) || r.Flips() > 0 || len(l.Left) > 0 {
		t.Errorf("%d %v %+v\n%s", len(text), l.Left, r, text)
	}
	evs = nil
	for i := range 300 {
		evs = append(evs, asked("allow", "", "GET", "https", fmt.Sprintf("h%d.example.com", i), "/"), asked("allow", "", "M"+strings.Repeat("X", i), "https", "h0.example.com", "/"),
			&audit.Event{Name: audit.DNSDecision, Sandbox: audit.Sandbox{ID: "s"}, DNS: &audit.DNS{Question: fmt.Sprintf("n%d.example.com.", i), Type: "TXT"}, Decision: &audit.Decision{Effect: "allow", Phase: "dns", Digest: "d", Policy: "p"}})
	}
	l, _, r = learnt(t, Options{MaxHosts: 50, MaxNames: 40}, evs...)
	if l.Left[manyHosts] != 250 || l.Left[manyNames] != 260 || l.Left[manyVerbs] != 300+1-maxMethods || r.Denied != 250+260+301-maxMethods || len(l.http) != 50 {
		t.Errorf("%v %+v", l.Left, r)
	}
	if _, err := Run(t.Context(), logOf(t, asked("deny", policy.CodeDefaultDeny, "GET", "https", "a.example.com", "/")), Options{}); err != ErrNothing {
		t.Error(err)
	}
}

// The same log gives the same policy.
func TestLearnIsDeterministic(t *testing.T) {
	var evs []*audit.Event
	for i := range 60 {
		evs = append(evs, asked("allow", "", []string{"GET", "POST", "PUT"}[i%3], []string{"http", "https"}[i%2], fmt.Sprintf("h%d.example.com", i%7), fmt.Sprintf("/p%d/%d", i%5, i)))
	}
	log := logOf(t, evs...)
	first := ""
	for range 5 {
		l, err := Run(t.Context(), log, Options{MaxPaths: 3})
		if err != nil {
			t.Fatal(err)
		}
		files, err := l.Files()
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s", files); first == "" {
			first = got
		} else if got != first {
			t.Fatalf("%s\nand then\n%s", first, got)
		}
	}
}
