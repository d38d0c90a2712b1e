package credentials

import (
	"errors"
	"strings"
	"testing"
)

func TestBinds(t *testing.T) {
	for _, c := range []struct {
		methods, paths []string
		labels         map[string]string
		method, path   string
		want           bool
	}{
		{nil, nil, nil, "POST", "/any", true},
		{[]string{"GET", "HEAD"}, nil, nil, "GET", "/", true},
		{[]string{"GET", "HEAD"}, nil, nil, "POST", "/", false},
		{[]string{"GET"}, nil, nil, "get", "/", false},
		{nil, []string{"/v1/chat"}, nil, "POST", "/v1/chat", true},
		{nil, []string{"/v1/chat"}, nil, "POST", "/v1/chat/", false},
		{nil, []string{"/v1/chat"}, nil, "POST", "/v1/chat/completions", false},
		{nil, []string{"/v1/chat"}, nil, "POST", "/v1/chats", false},
		{nil, []string{"/v1/chat"}, nil, "POST", "/v1/%63hat", true},
		{nil, []string{"/v1/chat/", "/v2"}, nil, "POST", "/v1/chat/completions", true},
		{nil, []string{"/v1/chat/", "/v2"}, nil, "POST", "/v2", true},
		{nil, []string{"/v1/chat/"}, nil, "POST", "/v1/chat/", true},
		{nil, []string{"/v1/chat/"}, nil, "POST", "/v1/chat", false},
		{nil, []string{"/v1/chat/"}, nil, "POST", "/v1/chatter/x", false},
		{nil, []string{"/v1/chat/"}, nil, "POST", "/v1/chat/../admin", false},
		{nil, []string{"/v1/chat/"}, nil, "POST", "/v1/chat/%2e%2E/admin", false},
		{nil, []string{"/v1/chat/"}, nil, "POST", "/v1/chat/..%2fadmin", false},
		{nil, []string{"/v1/chat/"}, nil, "POST", "/v1/chat/..;/admin", false},
		{nil, []string{"/v1/chat/"}, nil, "POST", "/v1/chat/..%5cadmin", false},
		{nil, []string{"/v1/chat/"}, nil, "POST", "/v1/chat//admin", false},
		{nil, []string{"/v1/chat/"}, nil, "POST", "//v1/chat/x", false},
		{nil, []string{"/"}, nil, "POST", "/v1", true},
		{nil, nil, map[string]string{"team": "web"}, "GET", "/", true},
		{nil, nil, map[string]string{"team": "ops"}, "GET", "/", false},
		{nil, nil, map[string]string{"team": "web", "tier": ""}, "GET", "/", false},
	} {
		b := binding(t, "a", Place{Kind: Bearer})
		b.Methods, b.Paths, b.Labels = c.methods, c.paths, c.labels
		at := target(t, "api.example.com:443")
		at.Method, at.Path, at.Labels = c.method, c.path, map[string]string{"team": "web"}
		_, err := store(t, b).Grant(t.Context(), at, asked("a"))
		var e *Error
		if c.want != (err == nil) || err != nil && (!errors.As(err, &e) || e.Code != "credential_not_bound") {
			t.Errorf("%v %v %v: %s %s: %v", c.methods, c.paths, c.labels, c.method, c.path, err)
		}
	}
}

func TestWrongBinds(t *testing.T) {
	for want, change := range map[string]func(*Bind){
		"is not a method":     func(b *Bind) { b.Methods = []string{"get"} },
		`"v1" is not a path`:  func(b *Bind) { b.Paths = []string{"v1"} },
		`"/a/../b" is not`:    func(b *Bind) { b.Paths = []string{"/a/../b"} },
		`"/a/*" is not`:       func(b *Bind) { b.Paths = []string{"/a/*"} },
		`"/a//b" is not`:      func(b *Bind) { b.Paths = []string{"/a//b"} },
		`"/a%2fb" is not`:     func(b *Bind) { b.Paths = []string{"/a%2fb"} },
		"a label has no name": func(b *Bind) { b.Labels = map[string]string{"": "x"} },
		"only https is bound": func(b *Bind) { b.Scheme = "http" },
	} {
		b := binding(t, "a", Place{Kind: Bearer})
		change(&b.Bind)
		if _, err := New(t.Context(), []Binding{b}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// What policy chooses about a secret is a choice that its source has, and one for
// each request.
func TestParameters(t *testing.T) {
	b := binding(t, "gh", Place{Kind: Bearer})
	h := Hold(&issuer{}, Terms{})
	defer h.Close()
	b.Source = h
	s := store(t, b)
	at := target(t, "api.example.com:443")
	for _, c := range []struct {
		asks []Ask
		want string
	}{
		{[]Ask{{"gh", nil}}, ""},
		{[]Ask{{"gh", Params{"repository": "a"}}}, ""},
		{[]Ask{{"gh", Params{"repository": "a"}}, {"gh", Params{"repository": "a"}}}, ""},
		{[]Ask{{"gh", Params{"repository": "a"}}, {"gh", Params{"repository": "b"}}}, "credential_ambiguous"},
		{[]Ask{{"gh", Params{"repository": "a"}}, {"gh", nil}}, "credential_ambiguous"},
		{[]Ask{{"gh", Params{"audience": "a"}}}, "credential_parameter"},
	} {
		_, err := s.Grant(t.Context(), at, c.asks)
		var e *Error
		if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &e) || e.Code != c.want) {
			t.Errorf("%v: %v, want %q", c.asks, err, c.want)
		}
	}
	var all strings.Builder
	for i := range 60 { // tokens of other choices than its own are looked for as well
		p := Params{"repository": strings.Repeat("x", i)}
		v, err := h.Fetch(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Grant(t.Context(), at, []Ask{{"gh", p}}); err != nil {
			t.Fatal(err)
		}
		v.Secret.use(func(b []byte) { all.Write(append(b, ' ')) })
	}
	if left := strings.Count(s.RedactString(all.String()), "token-"); left > 60-keptVersions*keptChoices {
		t.Errorf("%d of 60 are not looked for", left)
	}
}
