package terms

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"sallyport/admin"
	"sallyport/dest"
	"sallyport/proxy"
	"sallyport/proxy/parent"
	"sallyport/proxy/resolve"
	"sallyport/sandbox"
)

// ParseServer reads a name server, with the file of the CAs that its certificate may
// be of, or "".
func ParseServer(text, ca string) (resolve.Server, error) {
	s, err := resolve.Parse(text)
	if err != nil || ca == "" {
		return s, err
	}
	if s.Scheme != "tls" && s.Scheme != "https" {
		return s, errors.New("ca is for tls and https: the others prove nothing")
	}
	b, err := os.ReadFile(ca)
	if err != nil {
		return s, err
	}
	if s.Roots = x509.NewCertPool(); !s.Roots.AppendCertsFromPEM(b) {
		return s, fmt.Errorf("there is no PEM certificate in %s", ca)
	}
	return s, nil
}

// TLSOf are settings of the files ca, cert and key, and the name that a server proves;
// nil when nothing is said.
func TLSOf(server string, files map[string]string) (*sandbox.TLS, error) {
	said := admin.Binding{To: "https://upstream.internal"} // all but the target is as for a binding
	if server != "" {
		said.TLS = &admin.BindingTLS{ServerName: server}
	}
	b, err := BindingOf("upstream.internal", said, files)
	return b.TLS, err
}

// MinTLS reads a version of TLS; "" is none.
func MinTLS(s string) (uint16, error) {
	switch s {
	case "":
		return 0, nil
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("%q: expected 1.2 or 1.3", s)
}

const parentForm = "http://HOST:PORT, https://HOST[:PORT] or socks5://HOST[:PORT]"

// ParseParent reads the URL of a parent proxy, and who looks names up: local, parent,
// or "", which is local.
func ParseParent(text, resolves string) (p proxy.Parent, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return p, fmt.Errorf("expected %s", parentForm)
	}
	if u.User != nil { // not repeated
		return p, errors.New("a user and password have no place in the URL: name where they are with login")
	}
	if u.Scheme == "socks5h" {
		return p, errors.New("socks5h says that the parent looks names up: write socks5, and say that with resolve, parent")
	}
	port, known := map[string]uint16{"http": 0, "https": 443, "socks5": 1080}[u.Scheme]
	if !known {
		return p, fmt.Errorf("%s: expected %s", u.Scheme, parentForm)
	}
	p.Scheme = u.Scheme
	if p.Addr, err = dest.ParseAuthority(u.Host, port); err != nil {
		return p, err
	}
	if p.Addr.Port() == 0 {
		return p, fmt.Errorf("the port is missing; expected %s", parentForm)
	}
	switch resolves {
	case "", "local":
	case "parent":
		p.Names = true
	default:
		return p, fmt.Errorf("resolve %q: expected local or parent", resolves)
	}
	return p, nil
}

// ParseParentFlag reads --parent: a URL with what may stand behind it. It returns the
// variable or the files that secrets are in.
func ParseParentFlag(s string) (p proxy.Parent, variable string, secrets []string, err error) {
	fail := func(err error) (proxy.Parent, string, []string, error) {
		return p, "", nil, fmt.Errorf("--parent: %w", err)
	}
	target, opts, _ := strings.Cut(s, ",")
	said := map[string]string{}
	for opt := range strings.SplitSeq(opts, ",") {
		k, v, ok := strings.Cut(opt, "=")
		switch k {
		case "":
		case "match", "login", "resolve", "ca", "server_name", "cert", "key":
			if !ok || v == "" {
				return fail(fmt.Errorf("%s says nothing", k))
			}
			said[k] = v
		case "credentials":
			p.Credentials = true
		default:
			return fail(fmt.Errorf("there is no option %q; known are match, login, resolve, credentials, ca, server_name, cert and key", k))
		}
	}
	credentials := p.Credentials
	if p, err = ParseParent(target, said["resolve"]); err != nil {
		return fail(err)
	}
	p.Credentials = credentials
	if m := said["match"]; m != "" && m != "*" {
		if p.Match, err = dest.ParsePattern(m); err != nil {
			return fail(fmt.Errorf("match %q: %w", m, err))
		}
	}
	files := map[string]string{}
	for _, k := range []string{"ca", "cert", "key"} {
		if said[k] != "" {
			files[k] = said[k]
		}
	}
	if p.TLS, err = TLSOf(said["server_name"], files); err != nil {
		return fail(err)
	}
	if l := said["login"]; l != "" {
		text, err := ReadSecret(l, func(s string) string { return s }, func(s string) { secrets = append(secrets, s) })
		if err != nil {
			return fail(err)
		}
		if p.Login, err = parent.NewLogin(strings.TrimRight(text, "\r\n")); err != nil {
			return fail(err)
		}
		if v, ok := strings.CutPrefix(l, "env:"); ok {
			variable = v
		}
	}
	if k := files["key"]; k != "" {
		secrets = append(secrets, k)
	}
	return p, variable, secrets, nil
}

// ParsePatterns reads destinations, such as those of no_proxy.
func ParsePatterns(texts []string) (out []dest.Pattern, err error) {
	for _, s := range texts {
		p, perr := dest.ParsePattern(s)
		if perr != nil {
			err = errors.Join(err, fmt.Errorf("%q: %w; expected HOST[:PORT] or *.HOST[:PORT]", s, perr))
			continue
		}
		out = append(out, p)
	}
	return out, err
}
