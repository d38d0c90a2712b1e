package bundle_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/origin/bundles"
	"sallyport/policy/bundle"
)

// A bundle is had from a registry, by tag and by digest, with the token that its
// login is good for; once it is there, it is not sent again.
func TestRegistries(t *testing.T) {
	s := bundles.ServeImages()
	defer s.Close()
	const layer = bundles.Layer
	first := s.Push("v1", layer, version("1"))
	second := s.Push("v2", layer, version("2"))
	s.Push("two", layer, version("1"), version("2"))
	s.Push("none", "text/plain", []byte("x"))
	s.Push("large", layer, make([]byte, 2<<20))
	s.Lock()
	login := func(text string) func() (string, error) { return func() (string, error) { return text, nil } }
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.CA))
	of := func(tag string, login func() (string, error)) *bundle.OCI {
		src, err := bundle.NewOCI(bundle.OCIOptions{Reference: s.Name(tag), Login: login, TLS: &tls.Config{RootCAs: roots}, Max: 1 << 20, Time: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	robot := login(bundles.Robot)
	for tag, want := range map[string]string{":v1": "1", ":v2": "2", "@" + first: "1", ":v1@" + second: "2"} {
		ans, err := of(tag, robot).Fetch(t.Context(), bundle.Ask{})
		if err != nil || ans.Bundle == nil || !bytes.Equal(ans.Bundle.Bytes, version(want)) {
			t.Fatalf("%s: %+v, %v", tag, ans, err)
		}
		had := s.Given()
		again, err := of(tag, login("a-token-for-a-while")).Fetch(t.Context(), bundle.Ask{ETag: ans.Bundle.ETag})
		if err != nil || again.Bundle != nil || s.Given() != had {
			t.Errorf("%s again: %+v, %v", tag, again, err)
		}
	}
	for _, c := range []struct {
		name, tag string
		login     func() (string, error)
		how       http.HandlerFunc
		code      bundle.Code
		want      string
	}{
		{"nobody", ":v1", nil, nil, bundle.BadStatus, ""},
		{"another", ":v1", login("robot:guessed"), nil, bundle.BadStatus, "401"},
		{"no login", ":v1", func() (string, error) { return "", errors.New("no file") }, nil, bundle.NoToken, "no file"},
		{"no such tag", ":v3", robot, nil, bundle.BadStatus, "no such image"},
		{"two layers", ":two", robot, nil, bundle.NotBundle, "2 layers"},
		{"no layer", ":none", robot, nil, bundle.NotBundle, "0 layers"},
		{"large", ":large", robot, nil, bundle.TooLarge, "larger than 1048576"},
		{"other bytes", ":v1", robot, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(version("2")) }, bundle.BadAnswer, "not what it named"},
		{"more bytes", ":v1", robot, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append(version("1"), 0)) }, bundle.Unreachable, "mismatch Content-Length"},
		{"broken", ":v1", robot, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "canary-of-the-registry", 500) }, bundle.BadStatus, "500"},
		{"elsewhere", ":v1", robot, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, bundle.BadRedirect, "not over TLS"},
		{"elsewhere, with what gives access", ":v1", robot, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/?signature=s3cret", http.StatusFound)
		}, bundle.Unreachable, "refused"},
		{"to metadata", ":v1", robot, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://169.254.169.254/", http.StatusFound)
		}, bundle.Unreachable, "metadata"},
	} {
		s.Wrong(c.how)
		_, err := of(c.tag, c.login).Fetch(t.Context(), bundle.Ask{})
		var e *bundle.Error
		if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary-of") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, expected %s with %q", c.name, err, c.code, c.want)
		}
	}
	for _, wrong := range []string{"registry.example/web", "registry.example", "Registry/Web:x", "registry.example/web:", "registry.example/web@sha256:1"} {
		if src, err := bundle.NewOCI(bundle.OCIOptions{Reference: wrong}); err == nil {
			t.Errorf("%s is taken as %s", wrong, src)
		}
	}
}
