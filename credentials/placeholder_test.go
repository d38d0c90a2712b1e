package credentials

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func shownPlaceholder(t *testing.T, place Place, mode ClientValue, secret string) (*Store, Target, string) {
	t.Helper()
	b := binding(t, "a", place)
	b.Source, b.Placeholder, b.ClientValue = &fixed{v: secret}, &Placeholder{Env: "TOKEN"}, mode
	s := store(t, b)
	at := target(t, "api.example.com:443")
	at.Sandbox = "one"
	return s, at, s.Placeholders(at)["TOKEN"]
}

// A placeholder looks like the real thing, is another in each sandbox and each
// process, and the same as long as the seed is.
func TestPlaceholderShapes(t *testing.T) {
	for secret, want := range map[string]string{
		"ghp_" + strings.Repeat("a1B2", 9):      `^ghp_[A-Za-z0-9]{36}$`,
		"sk-proj-" + strings.Repeat("a1B2", 12): `^sk-proj-[A-Za-z0-9]{48}$`,
		"some-other-secret":                     `^[A-Za-z0-9]{40}$`,
		"ghp_short123":                          `^ghp_[A-Za-z0-9]{32}$`,
	} {
		s, at, got := shownPlaceholder(t, Place{Kind: Bearer}, "", secret)
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: %q", want, got)
		}
		other := at
		other.Sandbox = "two"
		again, _, third := shownPlaceholder(t, Place{Kind: Bearer}, "", secret)
		if s.Placeholders(other)["TOKEN"] == got || third == got || got == secret {
			t.Error("there are two of the same")
		}
		again.Seed(s.seed)
		if again.Placeholders(at)["TOKEN"] != got {
			t.Error("the same seed makes another")
		}
	}
	for _, p := range []*Placeholder{{}, {Env: "A=B"}, {Env: "1A"}, {Env: "A", Shape: "fixed-placeholder"}, {Env: "A", Shape: "x{8}"}, {Env: "A", Shape: "x{40"}, {Env: "A", Shape: "{40}{40}"}, {Env: "A", Shape: "a\n{40}"}} {
		b := binding(t, "a", Place{Kind: Bearer})
		b.Placeholder = p
		if _, err := New(t.Context(), []Binding{b}); err == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	for mode, p := range map[ClientValue]*Placeholder{RequirePlaceholder: nil, RejectValue: {Env: "A"}, "replace": nil} {
		b := binding(t, "a", Place{Kind: Bearer})
		b.Placeholder, b.ClientValue = p, mode
		if _, err := New(t.Context(), []Binding{b}); err == nil {
			t.Errorf("%s with %+v is taken", mode, p)
		}
	}
}

// hostile 97, 120: what the client has in a credential's place.
func TestClientValues(t *testing.T) {
	const js, form = "application/json", "application/x-www-form-urlencoded"
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, c := range map[string]struct {
		place Place
		set   func(r *Request, v string)
		want  func(r *Request) string
		has   string
	}{
		"bearer": {Place{Kind: Bearer}, func(r *Request, v string) { r.Header.Set("Authorization", "Bearer "+v) }, func(r *Request) string { return r.Header.Get("Authorization") }, "Bearer " + canary},
		"format": {Place{Kind: Header, Name: "X-Key", Format: "Token {secret}"}, func(r *Request, v string) { r.Header.Set("X-Key", "Token "+v) }, func(r *Request) string { return r.Header.Get("X-Key") }, "Token " + canary},
		"basic, the user is ours": {Place{Kind: Basic, User: "bot"}, func(r *Request, v string) { r.Header.Set("Authorization", "Basic "+b64("git:"+v)) },
			func(r *Request) string { return r.Header.Get("Authorization") }, "Basic " + b64("bot:"+canary)},
		"basic, the user is theirs": {Place{Kind: Basic}, func(r *Request, v string) { r.Header.Set("Authorization", "basic "+b64("git:"+v)) },
			func(r *Request) string { return r.Header.Get("Authorization") }, "Basic " + b64("git:"+canary)},
		"query":  {Place{Kind: Query, Name: "k"}, func(r *Request, v string) { r.URL.RawQuery = "a=1&%6b=" + v[:9] + "%" + hexOf(v[9]) + v[10:] }, func(r *Request) string { return r.URL.RawQuery }, "a=1&k=" + url.QueryEscape(canary)},
		"cookie": {Place{Kind: Cookie, Name: "sid"}, func(r *Request, v string) { r.Header.Set("Cookie", "a=1; sid="+v) }, func(r *Request) string { return r.Header.Get("Cookie") }, "a=1; sid=" + canary},
		"json": {Place{Kind: JSON, Name: "/k"}, func(r *Request, v string) {
			r.Header.Set("Content-Type", js)
			r.Body = strings.NewReader(`{"k":"` + v[:9] + `\u00` + hexOf(v[9]) + v[10:] + `"}`)
		}, bodyOf, `{"k":"` + canary + `"}`},
		"form": {Place{Kind: Form, Name: "k"}, func(r *Request, v string) {
			r.Header.Set("Content-Type", form)
			r.Body = strings.NewReader("k=" + v)
		}, bodyOf, "k=" + url.QueryEscape(canary)},
	} {
		for _, mode := range []ClientValue{StripValue, RequirePlaceholder, RejectValue} {
			for what, value := range map[string]string{"placeholder": "", "none": "-", "another": "mine-and-nobody-elses"} {
				b := binding(t, "a", c.place)
				b.ClientValue = mode
				if b.Placeholder = (&Placeholder{Env: "TOKEN"}); mode == RejectValue {
					b.Placeholder = nil
				}
				s := store(t, b)
				at := target(t, "api.example.com:443")
				at.Sandbox = "one"
				if value == "" {
					if value = s.Placeholders(at)["TOKEN"]; mode == RejectValue {
						continue
					}
				}
				r := &Request{Header: http.Header{}, URL: &url.URL{}}
				if c.set(r, strings.Repeat("x", 20)); value != "-" {
					c.set(r, value)
				} else if r = (&Request{Header: http.Header{}, URL: &url.URL{}}); c.place.Kind == JSON || c.place.Kind == Form {
					r.Header.Set("Content-Type", map[Kind]string{JSON: js, Form: form}[c.place.Kind])
					r.Body = strings.NewReader(map[Kind]string{JSON: "{}"}[c.place.Kind])
				}
				g, err := s.Grant(t.Context(), at, asked("a"))
				if err != nil {
					t.Fatal(err)
				}
				err = g.Apply(r)
				want := ""
				switch {
				case mode == RequirePlaceholder && what != "placeholder":
					want = "placeholder_required"
				case mode == RejectValue && what != "none":
					want = "credential_client_value"
				}
				var e *Error
				switch {
				case want == "" && (err != nil || what == "placeholder" && c.want(r) != c.has):
					t.Errorf("%s, %s, %s: %v, %q", name, mode, what, err, c.want(r))
				case want != "" && (!errors.As(err, &e) || e.Code != want):
					t.Errorf("%s, %s, %s: %v, want %s", name, mode, what, err, want)
				}
			}
		}
	}
}

func bodyOf(r *Request) string {
	b, _ := io.ReadAll(r.Body)
	r.Body = strings.NewReader(string(b))
	return string(b)
}

func hexOf(b byte) string { return fmt.Sprintf("%02x", b) }

// hostile 113, 114, 115: a placeholder anywhere but in its place, whole, in part or in
// another form.
func TestMisplaced(t *testing.T) {
	s, bound, ph := shownPlaceholder(t, Place{Kind: Bearer}, "", canary)
	unbound := target(t, "other.example.com:443")
	unbound.Sandbox = "one"
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	forms := map[string]string{"as it is": ph, "in base64": b64("x" + ph), "percent-encoded": percent([]byte("<"+ph+">"), "%02X"), "in hexadecimal": escaped([]byte(ph), "%02x", ""), "upper": strings.ToUpper(ph),
		"in JSON": escaped([]byte(ph), `\u%04x`, ""), "its first half": ph[:len(ph)/2], "its end": ph[len(ph)-12:], "split once": ph[:17] + `", "` + ph[17:], "split twice": ph[:11] + "&" + ph[11:29] + "&" + ph[29:], "of Basic": b64("user:" + ph)}
	for name, form := range forms {
		for where, r := range map[string]*Request{
			"field":  {Header: http.Header{"X-Other": {form}}},
			"fields": {Header: http.Header{"X-Other": {form[:5], form[5:]}}},
			"name":   {Header: http.Header{"X-" + form: {"x"}}},
			"path":   {Path: "/a/" + form + "/b"},
			"query":  {URL: &url.URL{RawQuery: "q=" + form}},
			"host":   {Host: form + ".example.com"},
			"long":   {Size: -1, Body: nil},
			"body":   {Body: io.MultiReader(strings.NewReader("{"+form[:7]), strings.NewReader(form[7:]+"}"))},
		} {
			for to, at := range map[string]Target{"bound": bound, "unbound": unbound} {
				r := *r
				if r.Header == nil {
					r.Header = http.Header{}
				}
				if r.URL == nil {
					r.URL = &url.URL{}
				}
				if where == "body" || where == "long" {
					r.Body = io.MultiReader(strings.NewReader("{"+form[:7]), strings.NewReader(form[7:]+"}"))
				}
				var err error
				if to == "bound" {
					g, e := s.Grant(t.Context(), at, asked("a"))
					if e != nil {
						t.Fatal(e)
					}
					err = g.Apply(&r)
				} else {
					_, err = s.Strip(at, &r)
				}
				if err == nil && r.Body != nil {
					_, err = io.ReadAll(r.Body)
				}
				var e *Error
				if !errors.As(err, &e) || e.Code != "placeholder_misplaced" || strings.Contains(err.Error(), ph) {
					t.Errorf("%s, in the %s, %s: %v", name, where, to, err)
				}
			}
		}
	}
	other := unbound // of another sandbox it is ordinary text
	other.Sandbox = "two"
	r := &Request{Header: http.Header{"Authorization": {"Bearer " + ph}}, URL: &url.URL{}, Body: strings.NewReader("ordinary text")}
	if _, err := s.Strip(other, r); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "ordinary text" {
		t.Errorf("%q %v", b, err)
	}
	r = &Request{Header: http.Header{"Authorization": {"Bearer " + ph}}, URL: &url.URL{}}
	if _, err := s.Strip(unbound, r); err == nil {
		t.Error("it goes where nothing is bound")
	}
}
