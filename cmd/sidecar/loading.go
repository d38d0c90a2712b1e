package sidecar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/config"
	"sallyport/policy/rego"
)

// load compiles the policies of a configuration. Those that are fetched are as fs
// has them; nil has none.
func (p *plan) load(ctx context.Context, bad *config.Problems, rel func(string) string, fs *feeds) {
	if fs != nil {
		fs.at(p.file.State.S)
	}
	for i, c := range p.file.Policies {
		key := fmt.Sprintf("policies[%d]", i)
		if p.has(c.Name.S) {
			bad.Add(c.Name.Pos, key+".name", "there are two policies %q", c.Name.S)
			continue
		}
		v, ok := p.verifier(bad, key+".verify", c.Verify, rel)
		if !ok {
			continue
		}
		if c.URL.S != "" {
			by := p.fed(bad, key, c, v, rel)
			if by == nil {
				continue
			}
			p.feeds[c.Name.S] = &feed{by: by}
			if fs != nil {
				p.feeds[c.Name.S] = fs.now(ctx, by)
			}
			if pol := p.feeds[c.Name.S].policy; pol != nil {
				p.policies[c.Name.S] = pol
			}
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

// has reports whether there is a policy of a name, or will be.
func (p *plan) has(name string) bool { return p.policies[name] != nil || p.feeds[name] != nil }

// afford says which credentials policies ask for that there are not. What was kept
// of one that is fetched is left then.
func (p *plan) afford(bad *config.Problems, fs *feeds) {
	for i, c := range p.file.Policies {
		pol := p.policies[c.Name.S]
		if pol == nil {
			continue
		}
		for _, n := range pol.Credentials() {
			if slices.Contains(p.names, n) || len(bad.List) > 0 {
				continue
			}
			if f := p.feeds[c.Name.S]; f != nil && fs.of(c.Name.S) == nil { // it is the start
				f.failed = fmt.Errorf("what was kept asks for the credential %q, and there is none of this name in credentials", n)
				f.policy, f.sum, f.etag, f.restored = nil, "", "", false
				delete(p.policies, c.Name.S)
				break
			}
			bad.Add(c.Name.Pos, fmt.Sprintf("policies[%d]", i), "it asks for the credential %q, and there is none of this name in credentials", n)
		}
	}
}

// policyNames are those of the policies that there are or will be, sorted.
func (p *plan) policyNames() (out []string) {
	for n := range p.policies {
		out = append(out, n)
	}
	out = append(out, p.lacking()...)
	slices.Sort(out)
	return out
}

// tellPolicy is a policy in the words of the API.
func (s *sidecar) tellPolicy(p *plan, name string) admin.Policy {
	out := admin.Policy{Name: name}
	if pol := p.policies[name]; pol != nil {
		out.Digest, out.Revision = pol.Digest(), pol.Revision()
	}
	for _, c := range p.file.Policies {
		if c.Name.S == name {
			out.Source = c.Dir.S
		}
	}
	if f := p.feeds[name]; f != nil {
		out.Source, out.Bundle = f.by.source.String(), s.feeds.tell(name)
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
