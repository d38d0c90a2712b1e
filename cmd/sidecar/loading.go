package sidecar

import (
	"context"
	"fmt"
	"strings"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/config"
	"sallyport/policy/rego"
)

// load compiles the policies of a configuration.
func (p *plan) load(ctx context.Context, bad *config.Problems, rel func(string) string) {
	for i, c := range p.file.Policies {
		key := fmt.Sprintf("policies[%d]", i)
		if p.policies[c.Name.S] != nil {
			bad.Add(c.Name.Pos, key+".name", "there are two policies %q", c.Name.S)
			continue
		}
		v, ok := p.verifier(bad, key+".verify", c.Verify, rel)
		if !ok {
			continue
		}
		pol, err := rego.Load(ctx, rego.Options{Name: c.Name.S, Dir: rel(c.Dir.S), Verify: v, MaxBytes: c.MaxSize.N})
		if err != nil {
			bad.Add(c.Dir.Pos, key+".dir", "%v", err)
			continue
		}
		p.policies[c.Name.S] = pol
	}
}

// tellPolicy is a policy in the words of the API.
func (p *plan) tellPolicy(name string) admin.Policy {
	out := admin.Policy{Name: name, Digest: p.policies[name].Digest(), Revision: p.policies[name].Revision()}
	for _, c := range p.file.Policies {
		if c.Name.S == name {
			out.Source = c.Dir.S
		}
	}
	return out
}

// verifier is who has to have signed a bundle, nil when nobody is named, and false
// when what is said is wrong.
func (p *plan) verifier(bad *config.Problems, key string, c config.Verify, rel func(string) string) (*rego.Verifier, bool) {
	if c.Key.S == "" {
		return nil, true
	}
	text, err := terms.ReadSecret(c.Key.S, rel, p.watch)
	if err != nil {
		bad.Add(c.Key.Pos, key+".key", "%v", err)
		return nil, false
	}
	v, err := rego.NewVerifier(text, c.KeyID.S, strings.ToUpper(c.Algorithm.S), c.Scope.S)
	if err != nil {
		at := c.Key.Pos
		if c.Algorithm.S != "" {
			at = c.Algorithm.Pos
		}
		bad.Add(at, key, "%v", err)
	}
	return v, err == nil
}
