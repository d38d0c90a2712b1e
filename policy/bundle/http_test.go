package bundle_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport/origin/bundles"
	"sallyport/policy/bundle"
)

var good = bundles.Files{"a.rego": "package egress\n\nallow := true\n"}.Pack()

// from is the source of a server.
func from(t *testing.T, s *bundles.Server, target string, change func(*bundle.HTTPOptions)) *bundle.HTTP {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.CA))
	o := bundle.HTTPOptions{URL: u, TLS: &tls.Config{RootCAs: roots}, Max: 1 << 20, Time: 5 * time.Second}
	if change != nil {
		change(&o)
	}
	return bundle.NewHTTP(o)
}

// Whatever a server does, it is told what it did, and nothing of what it said.
func TestSources(t *testing.T) {
	s, other := bundles.Serve(), bundles.Serve()
	defer s.Down()
	defer other.Down()
	body := func(kind, tag string, b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("ETag", tag)
			_, _ = w.Write(b)
		}
	}
	status := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "canary-of-the-server", n) }
	}
	to := func(where string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", where)
			w.WriteHeader(http.StatusFound)
		}
	}
	for name, c := range map[string]struct {
		how  http.HandlerFunc
		ask  bundle.Ask
		code bundle.Code // "" is a bundle
		want string
	}{
		"a bundle":           {body("application/gzip", `"1"`, good), bundle.Ask{}, "", ""},
		"of another type":    {body("text/html", `"1"`, good), bundle.Ask{}, "", ""},
		"a page":             {body("text/html", "", []byte("<html>canary-of-the-server")), bundle.Ask{}, bundle.NotBundle, `bytes of "text/html"`},
		"nothing":            {body("application/gzip", "", nil), bundle.Ask{}, bundle.NotBundle, "but 0 bytes"},
		"not found":          {status(404), bundle.Ask{}, bundle.BadStatus, "404 Not Found"},
		"no token":           {status(401), bundle.Ask{}, bundle.BadStatus, "another token"},
		"busy":               {status(503), bundle.Ask{}, bundle.BadStatus, "503"},
		"partial":            {status(206), bundle.Ask{}, bundle.BadStatus, "206"},
		"not modified":       {status(304), bundle.Ask{ETag: `"1"`}, "", ""},
		"not modified, lied": {status(304), bundle.Ask{}, bundle.BadAnswer, "was not told of anything"},
		"too long, said": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "9999999") },
			bundle.Ask{}, bundle.TooLarge, "larger than 1048576"},
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			for range 64 {
				_, _ = w.Write(make([]byte, 32<<10))
				w.(http.Flusher).Flush()
			}
		}, bundle.Ask{}, bundle.TooLarge, "larger than 1048576"},
		"shorter than said": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(good)+10))
			_, _ = w.Write(good)
		}, bundle.Ask{}, bundle.Unreachable, "it broke off after"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(good[:20])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, bundle.Ask{}, bundle.Unreachable, "it broke off after 20 bytes"},
		"hung up":                  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, bundle.Ask{}, bundle.Unreachable, ""},
		"redirected, and again":    {to("/again"), bundle.Ask{}, bundle.BadRedirect, "more than 5 times"},
		"redirected to nowhere":    {to(""), bundle.Ask{}, bundle.BadRedirect, "does not say where"},
		"redirected without TLS":   {to("http://" + other.Addr + "/"), bundle.Ask{}, bundle.BadRedirect, "not over TLS"},
		"redirected to a file":     {to("file:///etc/passwd"), bundle.Ask{}, bundle.BadRedirect, "not over TLS"},
		"redirected with a user":   {to("https://a:b@" + other.Addr + "/"), bundle.Ask{}, bundle.BadRedirect, "no place for a bundle"},
		"redirected to metadata":   {to("https://169.254.169.254/latest"), bundle.Ask{}, bundle.Unreachable, "is a metadata service"},
		"redirected to a stranger": {to(other.URL("/")), bundle.Ask{}, bundle.Unreachable, "certificate"},
	} {
		s.Wrong(c.how)
		ans, err := from(t, s, s.URL("/b"), nil).Fetch(t.Context(), c.ask)
		var e *bundle.Error
		switch {
		case c.code == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.code == "" && c.ask.ETag == "" && (ans.Bundle == nil || string(ans.Bundle.Bytes) != string(good) || ans.Bundle.ETag != `"1"`):
			t.Errorf("%s: %+v", name, ans)
		case c.code != "" && (!errors.As(err, &e) || e.Code != c.code || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary-of")):
			t.Errorf("%s: %v %T, expected %s with %q", name, err, err, c.code, c.want)
		}
	}
}

// What is slow ends: while a connection is made, before an answer, and in it.
func TestSlowSources(t *testing.T) {
	s := bundles.Serve()
	defer s.Down()
	for name, how := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"in it": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "\x1f")
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		},
	} {
		s.Wrong(how)
		begun := time.Now()
		var e *bundle.Error
		if _, err := from(t, s, s.URL("/b"), func(o *bundle.HTTPOptions) { o.Time = 200 * time.Millisecond }).Fetch(t.Context(), bundle.Ask{}); !errors.As(err, &e) || e.Code != bundle.Slow || time.Since(begun) > 10*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(begun))
		}
	}
	s.Down()
	var e *bundle.Error
	if _, err := from(t, s, s.URL("/b?signature=s3cret"), nil).Fetch(t.Context(), bundle.Ask{}); !errors.As(err, &e) || e.Code != bundle.Unreachable || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("down: %v", err)
	}
}

// A token, a certificate and a tag go to whom they are for, also behind redirects.
func TestTokensStayHome(t *testing.T) {
	s, other := bundles.Serve(), bundles.Serve()
	defer s.Down()
	defer other.Down()
	pair, err := tls.X509KeyPair(func() ([]byte, []byte) { c, k := s.Certificate(); return []byte(c), []byte(k) }())
	if err != nil {
		t.Fatal(err)
	}
	other.Publish(good, `"1"`)
	s.Wrong(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/b" {
			http.Redirect(w, r, "/c", http.StatusFound)
			return
		}
		http.Redirect(w, r, other.URL("/d"), http.StatusTemporaryRedirect)
	})
	h := from(t, s, s.URL("/b"), func(o *bundle.HTTPOptions) {
		o.TLS.RootCAs.AppendCertsFromPEM([]byte(other.CA))
		o.TLS.Certificates = []tls.Certificate{pair}
		o.Token = func() (string, error) { return "a-token", nil }
	})
	ans, err := h.Fetch(t.Context(), bundle.Ask{ETag: `"0"`, Wait: 3 * time.Second})
	if err != nil || ans.Bundle == nil {
		t.Fatal(err)
	}
	own, strange := s.Seen(), other.Seen()
	if len(own) != 2 || len(strange) != 1 {
		t.Fatalf("%d and %d requests", len(own), len(strange))
	}
	for _, r := range own {
		if r.Header.Get("Authorization") != "Bearer a-token" || len(r.TLS.PeerCertificates) != 1 || r.Header.Get("If-None-Match") != `"0"` || r.Header.Get("Prefer") != "modes=snapshot;wait=3" {
			t.Errorf("%v", r.Header)
		}
	}
	if r := strange[0]; r.Header.Get("Authorization") != "" || len(r.TLS.PeerCertificates) != 0 || r.Header.Get("Referer") != "" {
		t.Errorf("a stranger is shown %v, %d certificates", r.Header, len(r.TLS.PeerCertificates))
	}
	h = from(t, s, s.URL("/b"), func(o *bundle.HTTPOptions) { o.Token = func() (string, error) { return "", errors.New("no file") } })
	var e *bundle.Error
	if _, err := h.Fetch(t.Context(), bundle.Ask{}); !errors.As(err, &e) || e.Code != bundle.NoToken || len(s.Seen()) != 2 {
		t.Errorf("%v; %d requests", err, len(s.Seen()))
	}
}
