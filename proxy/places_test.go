package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/audit"
	"sallyport/credentials"
	"sallyport/origin"
)

// seen is what an origin was sent.
type seen struct {
	header http.Header
	query  string
	body   string
	length int64
}

// placing is a rig whose origin notes what it was sent, answers with all of it, and a
// client of it.
func placing(t *testing.T, r rigging) (*rig, *atomic.Pointer[seen], func(*http.Request) (int, string)) {
	var last atomic.Pointer[seen]
	r.origin.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		last.Store(&seen{req.Header, req.URL.RawQuery, string(b), req.ContentLength})
		w.Header().Set("Set-Cookie", "sid=renewed; Path=/")
		fmt.Fprintln(w, req.Header, req.URL.RawQuery, string(b))
	})
	rg := newRig(t, r)
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: rg.addr}), TLSClientConfig: &tls.Config{RootCAs: rg.roots}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return rg, &last, func(req *http.Request) (int, string) {
		t.Helper()
		resp, err := (&http.Client{Transport: tr}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if c := resp.Header["Set-Cookie"]; r.place.Kind == credentials.Cookie && len(c) > 0 {
			t.Errorf("it is given %q", c)
		}
		return resp.StatusCode, string(b)
	}
}

// Each way to place a secret, with a client that brings one of its own, and formats
// (hostile 116, 120): the destination has ours, and what it echoes has none.
func TestPlaces(t *testing.T) {
	const js, form = "application/json", "application/x-www-form-urlencoded"
	sneaky := `{secret} {{secret}} ${secret} %s {{.Secret}}`
	for _, c := range []struct {
		place     credentials.Place
		mediaType string
		body      string
		at        func(*seen) string
		want      string
	}{
		{credentials.Place{Kind: credentials.Header, Name: "X-Api-Key", Format: "Token {secret}!"}, "", "", func(s *seen) string { return s.header.Get("X-Api-Key") }, "Token " + secret + "!"},
		{credentials.Place{Kind: credentials.Cookie, Name: "sid"}, "", "", func(s *seen) string { return s.header.Get("Cookie") }, "lang=en; sid=" + secret},
		{credentials.Place{Kind: credentials.JSON, Name: "/auth/key"}, js, `{"n": 1.0, "auth": {"key": "{secret}"}, "x": "{secret}"}`, func(s *seen) string { return s.body }, `{"n": 1.0, "auth": {"key": "` + secret + `"}, "x": "{secret}"}`},
		{credentials.Place{Kind: credentials.Form, Name: "key"}, form, "a={secret}&key=mine", func(s *seen) string { return s.body }, "a={secret}&key=" + url.QueryEscape(secret)},
	} {
		t.Run(string(c.place.Kind), func(t *testing.T) {
			rg, last, do := placing(t, rigging{place: c.place, origin: origin.Options{}})
			var body io.Reader
			if c.body != "" {
				body = struct{ io.Reader }{strings.NewReader(c.body)} // of a length that nobody knows
			}
			req, err := http.NewRequest("POST", "https://"+rg.at("api.example.com")+"/", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"X-Api-Key": {sneaky}, "X-Format": {sneaky}, "Cookie": {"sid=mine; lang=en"}, "Content-Md5": {"x"}}
			if c.mediaType != "" {
				req.Header.Set("Content-Type", c.mediaType)
			}
			code, text := do(req)
			got := last.Load()
			if code != 200 || got == nil || c.at(got) != c.want {
				t.Fatalf("%d %s: it was sent %+v, want %q", code, text, got, c.want)
			}
			if got.header.Get("X-Format") != sneaky || c.place.Kind != credentials.Header && got.header.Get("X-Api-Key") != sneaky {
				t.Errorf("what it says was changed: %v", got.header)
			}
			if c.body != "" && (got.length != int64(len(got.body)) || got.header.Get("Content-Md5") != "") {
				t.Errorf("a length of %d for %d bytes, and %v", got.length, len(got.body), got.header)
			}
			if strings.Contains(text, secret) || !strings.Contains(text, "[REDACTED:api]") {
				t.Errorf("it is told %s", text)
			}
			if e := rg.found(map[string]string{"event.name": string(audit.RequestComplete)}); len(e) == 0 || !strings.Contains(fmt.Sprint(e[0].Fields), c.place.String()) {
				t.Errorf("the record says %v", e)
			}
			if c.body == "" {
				return
			}
			last.Store(nil)
			for _, wrong := range []string{`[`, `{"auth": 1, "AUTH": 2}`, ""} {
				req, err := http.NewRequest("POST", "https://"+rg.at("api.example.com")+"/", strings.NewReader(wrong))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", js)
				if c.place.Kind == credentials.Form {
					req.Header.Set("Content-Type", "text/plain")
				}
				if code, text := do(req); code != 403 || !strings.Contains(text, "credential_unplaced") {
					t.Errorf("%s: %d %s", wrong, code, text)
				}
			}
			if last.Load() != nil {
				t.Error("something was sent")
			}
		})
	}
}
