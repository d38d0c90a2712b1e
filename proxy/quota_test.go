package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/policy/rego"
)

// named loads a policy under a name.
func named(t testing.TB, name, text string) *rego.Policy {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.rego"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := rego.Load(t.Context(), rego.Options{Name: name, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// twoFiles loads a policy of two modules, as p.rego and q.rego.
func twoFiles(t testing.TB, first, second string) *rego.Policy {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"p.rego": first, "q.rego": second} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := rego.Load(t.Context(), rego.Options{Name: "test", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A said is what a client got.
type said struct {
	status int
	code   string // of a refusal
	id     string // of its record
	header http.Header
	body   string
}

// ask sends a request and reads its answer.
func (r *rig) ask(t *testing.T, h2 bool, method, path, contentType, body string) said {
	t.Helper()
	req, err := http.NewRequest(method, "https://"+r.at("api.example.com")+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return r.send(t, h2, req)
}

func (r *rig) send(t *testing.T, h2 bool, req *http.Request) said {
	t.Helper()
	resp, err := r.client(t, h2).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := said{status: resp.StatusCode, id: resp.Header.Get("Sallyport-Decision"), header: resp.Header, body: string(b)}
	if rest, ok := strings.CutPrefix(out.body, "sallyport: "); ok {
		out.code, _, _ = strings.Cut(rest, ":")
	}
	return out
}

// hostile 410: more requests than the limits of a policy let pass in a time are
// refused, in the client's own protocol, and recorded. Limits with a name count for
// their rules alone, and a reload counts on.
func TestRatesOfPolicy(t *testing.T) {
	const text = "package egress\n\nallow := true\n\nlimits contains {\"requests\": 3, \"per\": \"1h\"} if not startswith(input.request.path, \"/dear\")\n\nlimits contains {\"requests\": 1, \"per\": 3600, \"burst\": 2, \"name\": \"dear\"} if startswith(input.request.path, \"/dear\")\n"
	r := newRig(t, rigging{policy: text})
	get := func(path string) int { return r.ask(t, false, "GET", path, "", "").status }
	for i, c := range []struct {
		path string
		want int
	}{{"/", 200}, {"/dear", 200}, {"/a", 200}, {"/dear", 200}, {"/dear", 429}, {"/b", 200}, {"/c", 429}, {"/dear", 429}} {
		if got := get(c.path); got != c.want {
			t.Errorf("request %d to %s is answered %d, want %d", i, c.path, got, c.want)
		}
	}
	s := r.ask(t, false, "GET", "/c", "", "")
	if n, err := strconv.Atoi(s.header.Get("Retry-After")); s.code != "rate_limited" || err != nil || n < 600 || n > 1200 {
		t.Errorf("%+v, to be tried again after %d", s, n)
	}
	if got := r.found(map[string]string{"event.id": s.id, "policy.code": "rate_limited", "policy.decision": "deny"}); len(got) != 1 || !strings.Contains(got[0].Str("policy.operator"), `limit "" of policy test: 3 in 1h`) {
		t.Errorf("recorded as %v", got)
	}
	if s := r.ask(t, true, "POST", "/dear.A/B", "application/grpc", ""); s.header.Get("Grpc-Status") != "8" {
		t.Errorf("gRPC is answered %+v", s)
	}
	now := *r.sandbox
	r.gate.Update(&now, named(t, "test", strings.Replace(text, `"requests": 3`, `"requests": 5`, 1)))
	if got := get("/"); got != 429 {
		t.Errorf("a reload forgets what passed: %d", got)
	}
	r.addr = r.open("other")
	if got := get("/"); got != 200 {
		t.Errorf("another sandbox is counted with this one: %d", got)
	}
}

// A limit of what is under way makes room when something ends.
func TestConcurrencyOfPolicy(t *testing.T) {
	r := newRig(t, rigging{policy: "package egress\n\nallow := true\n\nlimits contains {\"concurrency\": 2, \"name\": \"x\"}\n\nlimits contains {\"concurrency\": 1} if input.request.path == \"/one\"\n",
		origin: origin.Options{Handler: http.HandlerFunc(endless), HTTP1: true}})
	var open []io.Closer
	ask := func(path string) (int, string) {
		t.Helper()
		resp, err := r.client(t, false).Get("https://" + r.at("api.example.com") + path)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp.Body)
		return resp.StatusCode, resp.Header.Get("Sallyport-Decision")
	}
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	a, _ := ask("/one")
	b, _ := ask("/one")
	c, _ := ask("/")
	d, id := ask("/")
	if a != 200 || b != 429 || c != 200 || d != 429 {
		t.Fatalf("answered %d, %d, %d and %d", a, b, c, d)
	}
	if len(r.found(map[string]string{"event.id": id, "policy.code": "concurrency_limited"})) != 1 {
		t.Error("no record says so")
	}
	_ = open[0].Close()
	until(t, func() bool { got, _ := ask("/one"); return got == 200 })
}

// until waits for something to become true.
func until(t *testing.T, what func() bool) {
	t.Helper()
	for range 200 {
		if what() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it does not become true")
}

// Connections that a policy passes unread have limits of their own.
func TestQuotasOfConnections(t *testing.T) {
	r := newRig(t, rigging{policy: "package egress.connect\n\nallow := true\n\nopaque := true\n\nlimits contains {\"requests\": 3, \"per\": \"1h\"}\n\nlimits contains {\"concurrency\": 1}\n"})
	port := upstream(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	passes := func() (net.Conn, bool) {
		c := r.connect(fmt.Sprintf("api.example.com:%d", port))
		_, _ = io.WriteString(c, "x")
		n, err := io.ReadFull(c, make([]byte, 1))
		return c, n == 1 && err == nil
	}
	first, ok := passes()
	if _, more := passes(); !ok || more {
		t.Fatalf("passed: %v, and one more: %v", ok, more)
	}
	if len(r.found(map[string]string{"event.name": string(audit.TunnelDecision), "policy.code": "concurrency_limited"})) != 1 {
		t.Error("no record says that there are too many at once")
	}
	_ = first.Close()
	passed := 1
	until(t, func() bool {
		c, ok := passes()
		_ = c.Close()
		if ok {
			passed++
		}
		return passed == 3
	})
	time.Sleep(50 * time.Millisecond)
	if _, more := passes(); more {
		t.Error("a fourth passes")
	}
	if len(r.found(map[string]string{"event.name": string(audit.TunnelDecision), "policy.code": "rate_limited"})) != 1 {
		t.Error("no record says that there were too many")
	}
}

// What one answer is limited to is not what the next is: decisions are kept.
func TestLimitsOfOneAnswer(t *testing.T) {
	r := newRig(t, rigging{origin: origin.Options{HTTP1: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Short", r.Header.Get("X-Short"))
		_, _ = w.Write(make([]byte, 1000))
	})}})
	p := twoFiles(t, everything, "package egress.response\n\nlimits contains {\"response_bytes\": 10} if input.response.headers[\"x-short\"][0] == \"1\"\n")
	now := *r.sandbox
	r.gate.Update(&now, p)
	for i, short := range []string{"", "1", "", "1"} {
		req, _ := http.NewRequest("GET", "https://"+r.at("api.example.com")+"/", nil)
		req.Header.Set("X-Short", short)
		resp, err := r.client(t, false).Do(req)
		var b []byte
		if err == nil {
			b, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if whole := err == nil && len(b) == 1000; whole != (short == "") {
			t.Errorf("answer %d, short %q: %d bytes, %v", i, short, len(b), err)
		}
	}
}
