package credentials

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestBodies(t *testing.T) {
	const js, form = "application/json", "application/x-www-form-urlencoded"
	quoted := `"` + canary + `"`
	for _, c := range []struct {
		place      Place
		mediaType  string
		body, want string // "" is a refusal
		remark     string
	}{
		{Place{Kind: JSON, Name: "/api_key"}, js, `{"a": 1.50, "api_key" : "mine", "b": [1]}`, `{"a": 1.50, "api_key" : ` + quoted + `, "b": [1]}`, "hostile 120: the client's own, and the rest byte for byte"},
		{Place{Kind: JSON, Name: "/api_key"}, js + "; charset=utf-8", ` {} `, ` {"api_key":` + quoted + `} `, ""},
		{Place{Kind: JSON, Name: "/api_key"}, "application/vnd.x+json", `{"a":1}`, `{"api_key":` + quoted + `,"a":1}`, ""},
		{Place{Kind: JSON, Name: "/auth/key"}, js, `{"a":1}`, `{"auth":{"key":` + quoted + `},"a":1}`, "made on the way"},
		{Place{Kind: JSON, Name: "/auth/key"}, js, `{"auth":{"x":{}}}`, `{"auth":{"key":` + quoted + `,"x":{}}}`, ""},
		{Place{Kind: JSON, Name: "/a~1b/1/~0"}, js, `{"a/b":[0,{"~":{"deep":1}}]}`, `{"a/b":[0,{"~":` + quoted + `}]}`, "RFC 6901"},
		{Place{Kind: JSON, Name: "/api_key"}, js, `{"api_key":"x","api_key":"y"}`, "", "hostile 83: twice"},
		{Place{Kind: JSON, Name: "/api_key"}, js, `{"api_key":"x","API_KEY":"y"}`, "", "hostile 120: in other letters"},
		{Place{Kind: JSON, Name: "/api_key"}, js, `{"API_KEY":"y"}`, "", "hostile 120: in other letters"},
		{Place{Kind: JSON, Name: "/api_key"}, js, `{"\u0061pi_key":"y"}`, `{"\u0061pi_key":` + quoted + `}`, "hostile 120: escaped"},
		{Place{Kind: JSON, Name: "/api_key"}, js, `{} {"api_key":1}`, "", "two texts"},
		{Place{Kind: JSON, Name: "/api_key"}, js, `[1]`, "", "no object"},
		{Place{Kind: JSON, Name: "/api_key"}, js, `{"a":`, "", "cut"},
		{Place{Kind: JSON, Name: "/api_key"}, js, "\xef\xbb\xbf{}", "", "a byte order mark"},
		{Place{Kind: JSON, Name: "/a/b"}, js, `{"a":"x"}`, "", "no object on the way"},
		{Place{Kind: JSON, Name: "/a/2"}, js, `{"a":[1]}`, "", "no such element"},
		{Place{Kind: JSON, Name: "/api_key"}, "text/plain", `{}`, "", "another type"},
		{Place{Kind: JSON, Name: "/api_key"}, js + "; charset=utf-16", `{}`, "", "another character set"},
		{Place{Kind: JSON, Name: "/api_key"}, js, strings.Repeat(" ", MaxBody) + `{}`, "", "too large"},
		{Place{Kind: Form, Name: "key"}, form, `a=1&key=mine&%6Bey=mine&KEY=mine&b=%20&c=1;key=2`, `a=1&b=%20&key=` + url.QueryEscape(canary), "hostile 120"},
		{Place{Kind: Form, Name: "key"}, form, "", `key=` + url.QueryEscape(canary), ""},
		{Place{Kind: Form, Name: "key"}, form, "a=" + strings.Repeat("x", MaxBody), "", "too large"},
		{Place{Kind: Form, Name: "key"}, "multipart/form-data; boundary=x", "a=1", "", "another type"},
	} {
		g := grant(t, binding(t, "a", c.place))
		if !g.NeedsBody() {
			t.Errorf("%+v needs no body", c.place)
		}
		r := &Request{Header: http.Header{"Content-Type": {c.mediaType}, "Digest": {"x"}, "Content-Md5": {"x"}}, URL: &url.URL{}, Body: strings.NewReader(c.body), Size: int64(len(c.body))}
		err := g.Apply(r)
		var e *Error
		if c.want == "" {
			if !errors.As(err, &e) || e.Code != "credential_unplaced" || strings.Contains(err.Error(), canary) {
				t.Errorf("%q: %v (%s)", c.body[:min(len(c.body), 99)], err, c.remark)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v (%s)", c.body, err, c.remark)
			continue
		}
		got, _ := io.ReadAll(r.Body)
		if string(got) != c.want || r.Size != int64(len(got)) || len(r.Header) != 1 {
			t.Errorf("%q: %q, %d bytes, %v; want %q (%s)", c.body, got, r.Size, r.Header, c.want, c.remark)
		}
	}
	for _, h := range []http.Header{{"Content-Type": {js}, "Content-Encoding": {"gzip"}}, {"Content-Type": {js, js}}, {}} {
		if err := grant(t, binding(t, "a", Place{Kind: JSON, Name: "/k"})).Apply(&Request{Header: h, URL: &url.URL{}, Body: strings.NewReader("{}")}); err == nil {
			t.Errorf("%v is taken", h)
		}
	}
	if err := grant(t, binding(t, "a", Place{Kind: JSON, Name: "/k"})).Apply(&Request{Header: http.Header{"Content-Type": {js}}, URL: &url.URL{}}); err == nil {
		t.Error("no body is taken")
	}
}

// A renewal of a cookie that is a credential is worth as much.
func TestCookieRenewals(t *testing.T) {
	b := binding(t, "a", Place{Kind: Cookie, Name: "sid"})
	h := http.Header{"Set-Cookie": {"sid=renewed-session; Path=/", "lang=en", " SID = x"}}
	for _, g := range []*Grant{grant(t, b), store(t, b).Watch(target(t, "api.example.com:443"))} {
		h := h.Clone()
		if n := g.ScrubHeader(h); n != 2 || !reflect.DeepEqual(h, http.Header{"Set-Cookie": {"lang=en"}}) {
			t.Error(n, h)
		}
	}
}

// Whatever is a JSON object has the member afterwards, and is the same but for that.
func FuzzSetMember(f *testing.F) {
	f.Add([]byte(`{"a": [1, {"b": null}], "k": {"x": 1}}`))
	f.Add([]byte(`{"K": 1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, names := range [][]string{{"k"}, {"k", "x"}, {"a", "1", "b"}} {
			out, err := setMember(in, names, []byte(`"v"`))
			if err != nil {
				continue
			}
			var was, is any
			if json.Unmarshal(in, &was) != nil || json.Unmarshal(out, &is) != nil {
				t.Fatalf("%q became %q", in, out)
			}
			again, err := setMember(out, names, []byte(`"v"`))
			if err != nil || !bytes.Equal(again, out) {
				t.Fatalf("%q became %q, and then %q %v", in, out, again, err)
			}
			at := is
			for _, n := range names {
				switch x := at.(type) {
				case map[string]any:
					at = x[n]
				case []any:
					at = x[1]
				}
			}
			if at != "v" {
				t.Fatalf("%q became %q", in, out)
			}
		}
	})
}
