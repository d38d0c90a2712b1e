package sidecar

import (
	"fmt"
	"strings"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/config"
	"sallyport/dest"
	"sallyport/sandbox"
)

// minKey is how many characters a key that signs has at least.
const minKey = 32

// vias are the operator's services that carry what a sandbox of the configuration
// sends to some destinations.
func (p *plan) vias(bad *config.Problems, key string, cs []config.Via, rel func(string) string) (out []sandbox.Via) {
	for i, c := range cs {
		key := fmt.Sprintf("%s.via[%d]", key, i)
		v := sandbox.Via{Credentials: c.Credentials.B}
		var err error
		if v.Match, err = dest.ParsePattern(c.Match.S); err != nil {
			bad.Add(c.Match.Pos, key+".match", "%v; expected HOST[:PORT] or *.HOST[:PORT]", err)
		}
		for j := range out {
			if err == nil && out[j].Match == v.Match {
				bad.Add(c.Match.Pos, key+".match", "via[%d] has it already", j)
			}
		}
		if !strings.HasPrefix(c.To.S, "http://") && !strings.HasPrefix(c.To.S, "https://") {
			bad.Add(c.To.Pos, key+".to", "expected http(s)://HOST[:PORT][/PREFIX]")
			continue
		}
		said := admin.Binding{To: c.To.S}
		if c.TLS.ServerName.S != "" {
			said.TLS = &admin.BindingTLS{ServerName: c.TLS.ServerName.S}
		}
		files := map[string]string{}
		for k, t := range map[string]config.Text{"ca": c.TLS.CA, "cert": c.TLS.ClientCert, "key": c.TLS.ClientKey} {
			if t.S != "" {
				files[k] = rel(t.S)
				p.watch(files[k])
			}
		}
		b, err := terms.BindingOf("via.internal", said, files) // all but the name is as for a binding
		if err != nil {
			bad.Add(c.To.Pos, key, "%v", err)
			continue
		}
		v.Target, v.TargetScheme, v.PathPrefix, v.TLS = b.Target, b.TargetScheme, b.PathPrefix, b.TLS
		if v.Credentials && v.TargetScheme != "https" {
			bad.Add(c.Credentials.Pos, key+".credentials", "a credential goes over https only")
		}
		secret, err := terms.ReadSecret(c.Key.S, rel, p.watch)
		secret = strings.TrimSpace(secret)
		if err == nil && len(secret) < minKey {
			err = fmt.Errorf("the key has fewer than %d characters: openssl rand -hex 32 makes a good one", minKey)
		}
		if err != nil {
			bad.Add(c.Key.Pos, key+".key", "%v", err)
			continue
		}
		v.Key = sandbox.NewSigningKey([]byte(secret))
		out = append(out, v)
	}
	return out
}
