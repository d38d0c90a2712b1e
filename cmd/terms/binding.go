package terms

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"sallyport/admin"
	"sallyport/credentials"
	"sallyport/dest"
	"sallyport/sandbox"
)

// MakeBinding makes a binding of what was said of it; client is who asks in TLS.
func MakeBinding(name string, said admin.Binding, client *tls.Certificate) (sandbox.Binding, error) {
	b, err := parseBinding(name, said.To)
	if err != nil {
		return b, err
	}
	fail := func(format string, a ...any) (sandbox.Binding, error) {
		return b, fmt.Errorf(format, a...)
	}
	b.Credential = said.Credential
	switch said.Host {
	case "", "target":
	case "inside":
		b.AsInside = true
	default:
		return fail("host %q: expected target or inside", said.Host)
	}
	if b.TargetScheme == "" && (said.Credential != "" || said.Host != "") {
		return fail("a raw connection has no Host and takes no credential")
	}
	if said.Credential != "" && b.TargetScheme != "https" {
		return fail("a credential goes over https only")
	}
	if said.TLS == nil && client == nil {
		return b, nil
	}
	if b.TargetScheme != "https" {
		return fail("TLS settings are for a target of https")
	}
	var server dest.Host
	ca := ""
	if said.TLS != nil {
		ca = said.TLS.CA
		if n := said.TLS.ServerName; n != "" {
			if server, err = dest.ParseHost(n); err != nil {
				return fail("server_name %q: %w", n, err)
			}
		}
	}
	if b.TLS, err = sandbox.NewTLS(ca, server, client); err != nil {
		return fail("%w", err)
	}
	return b, nil
}

// BindingSaid is what makes a binding, but for who asks in TLS.
func BindingSaid(b sandbox.Binding) (name string, said admin.Binding) {
	name, said.To = BindingText(b)
	said.Credential = b.Credential
	if b.AsInside {
		said.Host = "inside"
	}
	if ca, server, _ := b.TLS.Said(); ca != "" || !server.IsZero() {
		said.TLS = &admin.BindingTLS{CA: ca, ServerName: server.String()}
	}
	return name, said
}

const bindForm = "NAME=URL, of http, https or tcp, with what may follow: ,credential=NAME ,ca=FILE ,server_name=NAME ,cert=FILE,key=FILE ,host=inside; or NAME:PORT=HOST:PORT for raw TCP"

// ParseBindFlag reads --bind with what may stand behind the target. key is the
// file of a key, or "".
func ParseBindFlag(s string) (b sandbox.Binding, key string, err error) {
	name, rest, _ := strings.Cut(s, "=")
	target, opts, _ := strings.Cut(rest, ",")
	if !strings.Contains(s, "=") {
		return b, "", fmt.Errorf("--bind %q: there is no =; expected %s", s, bindForm)
	}
	said := admin.Binding{To: target}
	files := map[string]string{}
	for opt := range strings.SplitSeq(opts, ",") {
		k, v, ok := strings.Cut(opt, "=")
		switch {
		case opts == "":
		case !ok || v == "":
			return b, "", fmt.Errorf("--bind %q: %q says nothing; expected %s", s, opt, bindForm)
		case k == "credential":
			said.Credential = v
		case k == "host":
			said.Host = v
		case k == "ca" || k == "cert" || k == "key":
			files[k] = v
		case k == "server_name":
			said.TLS = &admin.BindingTLS{ServerName: v}
		default:
			return b, "", fmt.Errorf("--bind %q: there is no option %q; expected %s", s, k, bindForm)
		}
	}
	if b, err = BindingOf(name, said, files); err != nil {
		err = fmt.Errorf("--bind %q: %w", s, err)
	}
	return b, files["key"], err
}

// BindingOf makes a binding with the files of its TLS: ca, cert and key.
func BindingOf(name string, said admin.Binding, files map[string]string) (sandbox.Binding, error) {
	if f := files["ca"]; f != "" {
		text, err := os.ReadFile(f)
		if err != nil {
			return sandbox.Binding{}, err
		}
		if said.TLS == nil {
			said.TLS = &admin.BindingTLS{}
		}
		if said.TLS.CA = string(text); said.TLS.CA == "" {
			return sandbox.Binding{}, fmt.Errorf("%s is empty", f)
		}
	}
	var client *tls.Certificate
	if cert, key := files["cert"], files["key"]; cert != "" || key != "" {
		if cert == "" || key == "" {
			return sandbox.Binding{}, errors.New("a client's certificate and its key come together")
		}
		c, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return sandbox.Binding{}, fmt.Errorf("the client's certificate: %w", err)
		}
		client = &c
	}
	return MakeBinding(name, said, client)
}

// SaidBindings are bindings for a sidecar, which takes no keys from others.
func SaidBindings(bs []sandbox.Binding) (map[string]admin.Binding, error) {
	out := map[string]admin.Binding{}
	for _, b := range bs {
		name, said := BindingSaid(b)
		if _, _, client := b.TLS.Said(); client {
			return nil, fmt.Errorf("--bind %s: a sidecar takes no key from elsewhere: name cert and key in its configuration", name)
		}
		out[name] = said
	}
	return out, nil
}

// Covered says why a binding's credential would never be put on its requests.
func Covered(b sandbox.Binding, known []credentials.Binding) error {
	if b.Credential == "" {
		return nil
	}
	i := slices.IndexFunc(known, func(c credentials.Binding) bool { return c.Name == b.Credential })
	switch {
	case i < 0:
		return fmt.Errorf("there is no credential %q", b.Credential)
	case known[i].Scheme != b.TargetScheme || dest.NewAddr(known[i].Host, known[i].Port) != b.Target:
		return fmt.Errorf("the credential %q is bound to %s://%s, and the name leads to %s", b.Credential, known[i].Scheme, dest.NewAddr(known[i].Host, known[i].Port), b.Target)
	}
	return nil
}

// BindingText is a binding as --bind has it.
func BindingText(b sandbox.Binding) (name, target string) {
	name, target = b.Host.String(), b.Target.String()
	if b.Port != 0 {
		name = dest.NewAddr(b.Host, b.Port).String()
	}
	if b.TargetScheme != "" {
		target = b.TargetScheme + "://" + b.Target.Authority(b.TargetScheme) + b.PathPrefix
	}
	return name, target
}
