package sidecar

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"sallyport/cmd/terms"
	"sallyport/config"
	"sallyport/policy/bundle"
	"sallyport/policy/rego"
)

// fedBy is what a configuration says of a policy that is fetched.
type fedBy struct {
	name     string
	source   bundle.Source
	url      string // by which what is kept is known to be of it
	verify   *rego.Verifier
	limit    int64
	rollback bool
	poll     bundle.Options // how often
	said     string         // all of it, to be compared
	pos      config.Pos
}

// fed reads what is said of a policy that is fetched, and says what is wrong; it is
// nil then.
func (p *plan) fed(bad *config.Problems, key string, c config.Policy, v *rego.Verifier, rel func(string) string) *fedBy {
	out := &fedBy{name: c.Name.S, verify: v, limit: c.MaxSize.N, rollback: c.AllowRollback.B, pos: c.URL.Pos, url: c.URL.S,
		poll: bundle.Options{Min: c.Poll.Min.D, Max: c.Poll.Max.D, Wait: c.Poll.Wait.D}}
	if out.limit == 0 {
		out.limit = rego.MaxBundle
	}
	fail := func(at config.Pos, what, format string, a ...any) *fedBy {
		bad.Add(at, key+"."+what, format, a...)
		return nil
	}
	u, err := url.Parse(c.URL.S)
	image, isImage := strings.CutPrefix(c.URL.S, "oci://")
	switch {
	case isImage:
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fail(c.URL.Pos, "url", "expected https://HOST[:PORT]/PATH or oci://REGISTRY/REPOSITORY:TAG")
	case u.User != nil: // not repeated
		return fail(c.URL.Pos, "url", "a user and password have no place in the URL: name where a token is with token")
	case u.Fragment != "":
		return fail(c.URL.Pos, "url", "a fragment is sent to no server")
	case u.Scheme == "http" && !loopback(u.Hostname()) && v == nil:
		return fail(c.URL.Pos, "url", "whoever is on the way could put other rules in: use https, or verify signatures")
	case u.Scheme == "http" && !loopback(u.Hostname()) && c.Token.S != "":
		return fail(c.Token.Pos, "token", "whoever is on the way could read it: use https")
	}
	set, is, err := p.shown(c, rel)
	if err != nil {
		return fail(c.URL.Pos, "url", "%v", err)
	}
	var token func() (string, error)
	if c.Token.S != "" {
		token = func() (string, error) { return bearer(c.Token.S, rel, func(string) {}) }
		if _, err := bearer(c.Token.S, rel, p.watch); err != nil {
			return fail(c.Token.Pos, "token", "%v", err)
		}
	}
	if isImage {
		if out.source, err = bundle.NewOCI(bundle.OCIOptions{Reference: image, Login: token, TLS: set, Max: out.limit, Time: c.Poll.Timeout.D}); err != nil {
			return fail(c.URL.Pos, "url", "%v", err)
		}
		if c.Poll.Wait.D != 0 {
			return fail(c.Poll.Wait.Pos, "poll.wait", "a registry waits for nothing: leave it out")
		}
	} else {
		out.source = bundle.NewHTTP(bundle.HTTPOptions{URL: u, TLS: set, Token: token, Max: out.limit, Time: c.Poll.Timeout.D})
	}
	out.said = fmt.Sprint(c.URL.S, "\n", c.Token.S, "\n", is, out.limit, out.rollback, out.poll.Min, out.poll.Max, out.poll.Wait, c.Poll.Timeout.D)
	return out
}

// loopback reports whether nobody is on the way to a host.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// bearer reads a token, which is one line.
func bearer(source string, rel func(string) string, watch func(string)) (string, error) {
	text, err := terms.ReadSecret(source, rel, watch)
	if err != nil {
		return "", err
	}
	text = strings.TrimRight(text, "\r\n")
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("a token has visible ASCII characters only, and no spaces")
	}
	return text, nil
}

// shown is how a server proves who it is and who asks, and what that was read from.
func (p *plan) shown(c config.Policy, rel func(string) string) (*tls.Config, string, error) {
	out, is := &tls.Config{MinVersion: tls.VersionTLS12}, ""
	if c.CA.S != "" {
		p.watch(rel(c.CA.S))
		certs, text, err := readCertificates(rel(c.CA.S))
		if err != nil {
			return nil, "", fmt.Errorf("ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		for _, x := range certs {
			out.RootCAs.AddCert(x)
		}
		is += fmt.Sprintf("%x ", sha256.Sum256(text))
	}
	if c.ClientCert.S != "" {
		p.watch(rel(c.ClientCert.S))
		p.watch(rel(c.ClientKey.S))
		pair, err := tls.LoadX509KeyPair(rel(c.ClientCert.S), rel(c.ClientKey.S))
		if err != nil {
			return nil, "", fmt.Errorf("client_cert: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
		is += fmt.Sprintf("%x ", sha256.Sum256(pair.Certificate[0]))
	}
	return out, is, nil
}
