package sidecar

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/config"
	"sallyport/sandbox"
)

// described are bindings as the API has them.
func (p *plan) described(said map[string]admin.Binding) (out []sandbox.Binding, errs []error) {
	for _, name := range slices.Sorted(maps.Keys(said)) {
		b, err := terms.MakeBinding(name, said[name], nil)
		if err == nil {
			err = terms.Covered(b, p.credentialed)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("binding %s: %w", name, err))
			continue
		}
		out = append(out, b)
	}
	return out, errs
}

// bound are the bindings of a sandbox of the configuration.
func (p *plan) bound(bad *config.Problems, key string, cs []config.Binding, rel func(string) string) (out []sandbox.Binding) {
	for _, c := range cs {
		said, files := admin.Binding{To: c.To.S, Credential: c.Credential.S, Host: c.Host.S}, map[string]string{}
		if c.TLS.ServerName.S != "" {
			said.TLS = &admin.BindingTLS{ServerName: c.TLS.ServerName.S}
		}
		for k, t := range map[string]config.Text{"ca": c.TLS.CA, "cert": c.TLS.ClientCert, "key": c.TLS.ClientKey} {
			if t.S != "" {
				files[k] = rel(t.S)
				p.watch(files[k])
			}
		}
		b, err := terms.BindingOf(c.Name.S, said, files)
		if err == nil {
			err = terms.Covered(b, p.credentialed)
		}
		if err == nil && slices.ContainsFunc(out, func(x sandbox.Binding) bool { return x.Host == b.Host && x.Port == b.Port }) {
			err = errors.New("the name is bound already")
		}
		if err != nil {
			bad.Add(c.Name.Pos, key+".bindings."+c.Name.S, "%v", err)
			continue
		}
		out = append(out, b)
	}
	return out
}
