package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sallyport/origin"
)

const patching = `package egress

allow := true

patch_body contains {"op": "replace", "path": "/model", "value": "small"} if input.request.path == "/edit"

patch_body contains {"op": "add", "path": "/user", "value": input.sandbox.name} if input.request.path == "/edit"

patch_body contains {"op": "remove", "path": "/secret"} if input.request.path in {"/edit", "/remove"}

patch_body contains {"op": "replace", "path": "/model", "value": input.request.headers["x-model"][0]} if input.request.path == "/edit"

patch_body contains {"op": "remove", "path": "/model/name"} if input.request.headers["x-deep"]
`

const answering = `package egress.response

patch_body contains {"op": "remove", "path": "/internal"} if input.request.path == "/answer"

patch_body contains {"op": "replace", "path": "/n", "value": input.response.body.n} if {
	input.request.path == "/answer"
	input.response.body_state == "parsed"
}

deny contains "leaks" if {
	input.request.path == "/read"
	input.response.body.leak
}
`

// Bodies are edited both ways: what arrives is whole, says how long it is, and says
// nothing that is of the body that was (hostile 412).
func TestBodiesAreEdited(t *testing.T) {
	var got *http.Request
	var body []byte
	r := newRig(t, rigging{policy: patching, port: 1, origin: origin.Options{HTTP1: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(r.Context())
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", r.Header.Get("X-Type"))
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Content-Digest", "sha-256=:eA==:")
		answer := []byte(r.Header.Get("X-Answer"))
		if n := r.Header.Get("X-Pad"); n != "" {
			answer = []byte(`{"pad": "` + strings.Repeat("x", 70_000) + `", "leak": 1}`)
		}
		if c := r.Header.Get("X-Coding"); c != "" {
			w.Header().Set("Content-Encoding", c)
			answer = []byte(coded(t, c, string(answer)))
		}
		_, _ = w.Write(answer)
	})}})
	now := *r.sandbox
	r.gate.Update(&now, twoFiles(t, patching, answering))
	send := func(path, body string, fields ...string) said {
		t.Helper()
		req, err := http.NewRequest("POST", "https://"+r.at("api.example.com")+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body == "" {
			req.Method = "GET"
		}
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(fields); i += 2 {
			req.Header.Set(fields[i], fields[i+1])
		}
		return r.send(t, false, req)
	}
	const was = `{"model": "large", "secret": "canary-1", "n": 1.50}`
	const is = `{"model":"small","n":1.50,"user":"test"}`
	for name, fields := range map[string][]string{"plain": nil, "coded": {"Content-Encoding", "gzip"}, "digests": {"Content-Digest", "sha-256=:eA==:", "Digest", "x", "Content-MD5", "x", "Repr-Digest", "x"}} {
		text := was
		if name == "coded" {
			text = coded(t, "gzip", was)
		}
		s := send("/edit", text, fields...)
		if s.status != 200 || string(body) != is || got.ContentLength != int64(len(is)) {
			t.Fatalf("%s: %+v, %s %s", name, s, body, r.found(map[string]string{"event.of": s.id})[0].Line)
		}
		for _, k := range []string{"Content-Encoding", "Content-Digest", "Digest", "Content-Md5", "Repr-Digest"} {
			if v := got.Header.Get(k); v != "" {
				t.Errorf("%s: %s says %s", name, k, v)
			}
		}
		if rec := r.found(map[string]string{"event.id": s.id}); len(rec) != 1 || !bytes.Contains(rec[0].Line, []byte(`"policy.edits":["/model","/secret","/user"]`)) || bytes.Contains(rec[0].Line, []byte("canary")) {
			t.Errorf("%s: recorded as %s", name, rec[0].Line)
		}
	}
	if s := send("/other", was); s.status != 200 || string(body) != was {
		t.Errorf("what nobody edits arrives as %s", body)
	}
	if s := send("/remove", ""); s.status != 200 {
		t.Errorf("nothing to remove: %+v", s)
	}
	for name, c := range map[string]struct {
		body, want string
		fields     []string
	}{
		"no JSON":         {"model=large", "uncertain", []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"none":            {"", "uncertain", nil},
		"too long":        {`{"model": "` + strings.Repeat("x", 65<<10) + `"}`, "uncertain", nil},
		"a name twice":    {`{"model": "a", "model": "b"}`, "uncertain", nil},
		"no such place":   {`{"n": 1}`, "policy_error", nil},
		"two values":      {was, "body_conflict", []string{"X-Model", "huge"}},
		"a part of it":    {was, "body_conflict", []string{"X-Deep", "1"}},
		"the same values": {was, "", []string{"X-Model", "small"}},
	} {
		body = nil
		s := send("/edit", c.body, c.fields...)
		if s.code != c.want || c.want != "" && (s.status != 403 || body != nil) {
			t.Errorf("%s: %d %s, want %s", name, s.status, s.code, c.want)
		}
		if c.want == "body_conflict" {
			if rec := r.found(map[string]string{"event.id": s.id}); len(rec) != 1 || !strings.Contains(rec[0].Str("policy.operator"), "p.rego:5") {
				t.Errorf("%s: the rules are not named: %s", name, rec[0].Str("policy.operator"))
			}
		}
	}
	for name, c := range map[string]struct {
		path   string
		fields []string
		want   string
	}{
		"an answer":             {"/answer", []string{"X-Type", "application/json", "X-Answer", `{"internal": "canary", "n": 2.50}`}, `200 {"n":2.50}`},
		"a coded answer":        {"/answer", []string{"X-Type", "application/json", "X-Coding", "gzip", "X-Answer", `{"internal": "canary", "n": 2.50}`}, `200 {"n":2.50}`},
		"an answer of no JSON":  {"/answer", []string{"X-Type", "text/html", "X-Answer", "canary"}, "403 uncertain"},
		"an answer too long":    {"/answer", []string{"X-Type", "application/json", "X-Pad", "1"}, "403 uncertain"},
		"an answer is read":     {"/read", []string{"X-Type", "application/json", "X-Answer", `{"leak": 1}`}, "403 leaks"},
		"one that has none":     {"/read", []string{"X-Type", "application/json", "X-Answer", `{"fine": 1}`}, `200 {"fine": 1}`},
		"one that is too long":  {"/read", []string{"X-Type", "application/json", "X-Pad", "1"}, "403 uncertain"},
		"one that nobody reads": {"/other", []string{"X-Type", "application/json", "X-Pad", "1"}, "200 long"},
	} {
		s := send(c.path, "", c.fields...)
		text := s.body
		if s.code != "" {
			text = s.code
		} else if len(text) > 1000 {
			text = "long"
		}
		if said := fmt.Sprint(s.status, " ", text); said != c.want {
			t.Errorf("%s: %s, want %s", name, said, c.want)
		}
		edited := strings.HasPrefix(c.want, "200") && c.path == "/answer"
		if edited && (s.header.Get("ETag")+s.header.Get("Content-Digest")+s.header.Get("Content-Encoding") != "" || s.header.Get("Content-Length") != "10") {
			t.Errorf("%s: %v", name, s.header)
		}
		if rec := r.found(map[string]string{"event.of": s.id, "event.name": "egress.request.complete"}); edited && (len(rec) != 1 || !bytes.Contains(rec[0].Line, []byte(`"response.edits":["/internal","/n"]`))) {
			t.Errorf("%s: no outcome", name)
		}
	}
}
