package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sallyport/origin"
	"sallyport/policy"
	"sallyport/proxy"
)

// What a rule of each kind comes to, at the client and in the record: policy, request
// and answer (hostile 97 among them: a client's own credentials).
func TestRulesOfEveryKind(t *testing.T) {
	r := newRig(t, rigging{origin: origin.Options{HTTP1: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Theirs", "theirs")
		fmt.Fprintf(w, "%s %s auth=%q x=%q %s", r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("X-A"), b)
	})}})
	const allow = "allow := true\n"
	one := func(text string) proxy.Decider { return named(t, "test", "package egress\n\n"+text) }
	with := func(phase, text string) proxy.Decider {
		return twoFiles(t, "package egress\n\nallow := true\n", "package egress."+phase+"\n\n"+text)
	}
	for name, c := range map[string]struct {
		policy proxy.Decider
		fields string // of the request: "Name: value", by lines
		body   string
		want   string            // status, and the code or what is in the body
		record map[string]string // of the decision, beside its id
	}{
		"nothing holds":           {one("allow if input.request.path == \"/other\"\n"), "", "", "403 default_deny", map[string]string{"policy.decision": "deny"}},
		"allow":                   {one(allow), "", "", "200 GET /p?q=1", map[string]string{"policy.decision": "allow"}},
		"allow by a field":        {one("allow if input.request.headers[\"x-a\"][0] == \"1\"\n"), "X-A: 1", "", "200 x=\"1\"", nil},
		"deny by a code":          {one(allow + "deny contains \"no_q\" if input.request.query.q\n"), "", "", "403 no_q", map[string]string{"policy.code": "no_q"}},
		"deny by an object":       {one(allow + "deny contains {\"code\": \"no_q\", \"public\": \"not so\", \"operator\": \"see 7\"}\n"), "", "", "403 not so", map[string]string{"policy.operator": "see 7"}},
		"respond":                 {one("respond := {\"status\": 404, \"body\": \"ours\", \"headers\": {\"X-O\": \"1\"}}\n"), "", "", "404 ours", map[string]string{"policy.decision": "respond"}},
		"rewrite a path":          {one(allow + "rewrite := {\"path\": \"/new\"}\n"), "", "", "200 GET /new", nil},
		"rewrite is judged again": {one("allow if input.request.path == \"/p\"\n\nrewrite := {\"path\": \"/new\"}\n"), "", "", "403 default_deny", nil},
		"set a field":             {one(allow + "set_headers contains {\"name\": \"x-a\", \"value\": \"ours\"}\n"), "X-A: theirs", "", "200 x=\"ours\"", nil},
		"a field of a rule":       {one(allow + "set_headers contains {\"name\": \"X-A\", \"value\": \"v\"} if input.request.path == \"/other\"\n"), "X-A: theirs", "", "200 x=\"\"", nil},
		"remove a field":          {one(allow + "remove_headers contains \"X-A\"\n"), "X-A: theirs", "", "200 x=\"\"", nil},
		"fields disagree":         {one(allow + "set_headers contains {\"name\": \"X-A\", \"value\": \"1\"}\n\nset_headers contains {\"name\": \"x-a\", \"value\": \"2\"} if input.request.path == \"/p\"\n"), "", "", "403 header_conflict", nil},
		"a credential":            {one(allow + "credentials contains \"api\"\n"), "", "", "200 auth=\"Bearer [REDACTED:api]\"", nil},
		"an unknown credential":   {one(allow + "credentials contains \"none\"\n"), "", "", "403 credential_unknown", nil},
		"hostile 97: a key of its own where one is bound":   {one(allow), "Authorization: Bearer mine", "", "200 auth=\"\"", nil},
		"hostile 97: a key of its own, taken off by a rule": {one(allow + "remove_headers contains \"X-A\" if input.destination.host == \"api.example.com\"\n"), "X-A: key-of-mine", "", "200 x=\"\"", nil},
		"hostile 97: a key of its own, refused by a rule":   {one(allow + "deny contains \"own_key\" if input.request.headers.authorization\n"), "Authorization: Bearer mine", "", "403 own_key", nil},
		"a limit of the request":                            {one(allow + "limits contains {\"request_bytes\": 3}\n"), "", "four", "413 request_too_large", nil},
		"a limit of requests":                               {one("allow := true\n\nlimits contains {\"requests\": 1, \"per\": \"1h\", \"name\": \"t\", \"concurrency\": 1}\n"), "", "", "200 GET", nil},
		"reasons":                                           {one(allow + "reasons contains \"because\"\n"), "", "", "200 GET", map[string]string{"policy.reasons": "because"}},
		"audit":                                             {one(allow + "audit contains {\"level\": \"request\", \"tags\": [\"seen\"]}\n"), "", "", "200 GET", map[string]string{"tags": "seen"}},
		"a body":                                            {one("allow if input.request.body.a == 1\n"), "Content-Type: application/json", `{"a": 1}`, "200 POST", nil},
		"a body that is not known":                          {one("allow if not input.request.body.b\n"), "Content-Type: application/json", `{"a": 1`, "403 uncertain", nil},
		"accepted as not known":                             {one("allow if input.request.body_state == \"unparsed\"\n\ndeny contains \"b\" if {\n\tinput.request.body_state == \"parsed\"\n\tinput.request.body.b\n}\n"), "", `x`, "200 POST", nil},
		"dial denies":                                       {with("dial", "deny contains \"no_addr\" if \"127.0.0.1\" in input.addresses\n"), "", "", "403 no_addr", nil},
		"response denies":                                   {with("response", "deny contains \"no_answer\" if input.response.status == 200\n"), "", "", "403 no_answer", nil},
		"response sets":                                     {with("response", "set_headers contains {\"name\": \"X-Theirs\", \"value\": \"ours\"}\n"), "", "", "200 X-Theirs=ours", nil},
		"response removes":                                  {with("response", "remove_headers contains \"X-Theirs\"\n"), "", "", "200 X-Theirs= ", nil},
		"response limits":                                   {with("response", "limits contains {\"response_bytes\": 1}\n"), "", "", "cut", nil},
		"layers: both allow":                                {policy.NewLayers(one(allow).(policy.Engine), one(allow).(policy.Engine)), "", "", "200 GET", nil},
		"layers: one does not":                              {policy.NewLayers(one(allow).(policy.Engine), one("allow if input.request.path == \"/other\"\n").(policy.Engine)), "", "", "403 default_deny", nil},
		"layers: one denies":                                {policy.NewLayers(one(allow).(policy.Engine), one(allow+"deny contains \"guard\"\n").(policy.Engine)), "", "", "403 guard", nil},
	} {
		now := *r.sandbox
		r.gate.Update(&now, c.policy)
		method := http.MethodGet
		if c.body != "" {
			method = http.MethodPost
		}
		req, err := http.NewRequest(method, "https://"+r.at("api.example.com")+"/p?q=1", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(c.fields) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
			req.Header.Set(k, v)
		}
		resp, err := r.client(t, false).Do(req)
		if err != nil {
			if c.want != "cut" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if c.want == "cut" {
			if err == nil {
				t.Errorf("%s: whole: %s", name, b)
			}
			continue
		}
		status, what, _ := strings.Cut(c.want, " ")
		all := fmt.Sprintf("%s X-Theirs=%s ", b, resp.Header.Get("X-Theirs"))
		if fmt.Sprint(resp.StatusCode) != status || !strings.Contains(all, what) {
			t.Errorf("%s: %d %s, want %s", name, resp.StatusCode, all, c.want)
		}
		for k, v := range c.record {
			rec := r.found(map[string]string{"event.id": resp.Header.Get("Sallyport-Decision")})
			if len(rec) != 1 || rec[0].Str(k) != v && !strings.Contains(string(rec[0].Line), fmt.Sprintf("%q:[%q]", k, v)) {
				t.Errorf("%s: the record does not say %s %s", name, k, v)
			}
		}
	}
}
