package sidecar

import (
	"fmt"
	"strings"

	"github.com/rs/zerolog"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/config"
	"sallyport/dest"
	"sallyport/proxy"
	"sallyport/proxy/parent"
	"sallyport/proxy/resolve"
)

// reaching makes of what is said of the network how upstreams are reached.
func (p *plan) reaching(bad *config.Problems, rel func(string) string) {
	n := p.file.Network
	p.reach = &proxy.Reach{Timeouts: timeouts(n.Timeouts)}
	p.resolvers(bad, n.Resolvers, rel)
	for i, c := range n.Destinations {
		p.destination(bad, fmt.Sprintf("network.destinations[%d]", i), c, rel)
	}
	for i, c := range n.Parents {
		p.parent(bad, fmt.Sprintf("network.parents[%d]", i), c, rel)
	}
	for i, t := range n.NoProxy {
		x, err := dest.ParsePattern(t.S)
		if err != nil {
			bad.Add(t.Pos, fmt.Sprintf("network.no_proxy[%d]", i), "%v; expected HOST[:PORT] or *.HOST[:PORT]", err)
		}
		p.reach.Direct = append(p.reach.Direct, x)
	}
}

func (p *plan) resolvers(bad *config.Problems, cs []config.Resolver, rel func(string) string) {
	var of []resolve.Server
	for i, c := range cs {
		ca := ""
		if c.CA.S != "" {
			ca = rel(c.CA.S)
			p.watch(ca)
		}
		s, err := terms.ParseServer(c.URL.S, ca)
		if err != nil {
			bad.Add(c.URL.Pos, fmt.Sprintf("network.resolvers[%d]", i), "%v", err)
			continue
		}
		of = append(of, s)
	}
	if len(of) == 0 {
		return
	}
	r, err := resolve.New(of, resolve.Options{Roots: p.roots})
	if err != nil {
		bad.Add(cs[0].URL.Pos, "network.resolvers", "%v", err)
		return
	}
	p.servers, p.reach.Resolver, p.reach.Exchanger = r, terms.Resolver(p.resolve, r), r
}

// files are those of TLS that are named, and watched from now on.
func (p *plan) files(rel func(string) string, named map[string]config.Text) map[string]string {
	out := map[string]string{}
	for k, t := range named {
		if t.S != "" {
			out[k] = rel(t.S)
			p.watch(out[k])
		}
	}
	return out
}

func (p *plan) destination(bad *config.Problems, key string, c config.Destination, rel func(string) string) {
	d := proxy.Destination{Timeouts: timeouts(c.Timeouts)}
	var err error
	if d.Match, err = dest.ParsePattern(c.Match.S); err != nil {
		bad.Add(c.Match.Pos, key+".match", "%v; expected HOST[:PORT] or *.HOST[:PORT]", err)
	}
	for i, o := range p.reach.Destinations {
		if err == nil && o.Match == d.Match {
			bad.Add(c.Match.Pos, key+".match", "network.destinations[%d] has it already", i)
		}
	}
	if d.MinTLS, err = terms.MinTLS(c.MinTLS.S); err != nil {
		bad.Add(c.MinTLS.Pos, key+".min_tls", "%v", err)
	}
	if d.TLS, err = terms.TLSOf(c.ServerName.S, p.files(rel, map[string]config.Text{"ca": c.CA, "cert": c.ClientCert, "key": c.ClientKey})); err != nil {
		bad.Add(c.Match.Pos, key, "%v", err)
	}
	if c.ExtraCA.S != "" {
		if c.CA.S != "" {
			bad.Add(c.ExtraCA.Pos, key+".extra_ca", "ca is in place of all others, so that nothing stands beside it")
		}
		files := []string{rel(c.ExtraCA.S)}
		p.watch(files[0])
		for _, t := range p.file.Network.UpstreamCA {
			files = append(files, rel(t.S))
		}
		if d.Roots, err = terms.ParseRoots(files); err != nil {
			bad.Add(c.ExtraCA.Pos, key+".extra_ca", "%s", strings.TrimLeft(strings.TrimPrefix(err.Error(), "--upstream-ca"), ": "))
		}
	}
	p.reach.Destinations = append(p.reach.Destinations, d)
}

func (p *plan) parent(bad *config.Problems, key string, c config.Parent, rel func(string) string) {
	x, err := terms.ParseParent(c.Proxy.S, c.Resolve.S)
	if err != nil {
		bad.Add(c.Proxy.Pos, key, "%v", err)
		return
	}
	if x.Credentials = c.Credentials.B; x.Credentials && !x.Names {
		bad.Add(c.Credentials.Pos, key+".credentials", "it is for resolve: parent; where addresses are judged credentials go as ever")
	}
	if c.Match.S != "*" {
		if x.Match, err = dest.ParsePattern(c.Match.S); err != nil {
			bad.Add(c.Match.Pos, key+".match", "%v; expected HOST[:PORT], *.HOST[:PORT] or *", err)
		}
	}
	for i, o := range p.reach.Parents {
		if err == nil && o.Match == x.Match {
			bad.Add(c.Match.Pos, key+".match", "network.parents[%d] has it already", i)
		}
	}
	files := p.files(rel, map[string]config.Text{"ca": c.TLS.CA, "cert": c.TLS.ClientCert, "key": c.TLS.ClientKey})
	if x.Scheme != "https" && (len(files) > 0 || c.TLS.ServerName.S != "") {
		bad.Add(c.Proxy.Pos, key+".tls", "TLS settings are for a parent of https")
	}
	if x.TLS, err = terms.TLSOf(c.TLS.ServerName.S, files); err != nil {
		bad.Add(c.Proxy.Pos, key+".tls", "%v", err)
	}
	if c.Login.S != "" {
		text, err := terms.ReadSecret(c.Login.S, rel, p.watch)
		if err == nil {
			x.Login, err = parent.NewLogin(strings.TrimRight(text, "\r\n"))
		}
		if err != nil {
			bad.Add(c.Login.Pos, key+".login", "%v", err)
		}
	}
	p.reach.Parents = append(p.reach.Parents, x)
}

func timeouts(c config.Timeouts) proxy.Timeouts {
	return proxy.Timeouts{Resolve: c.Resolve.D, Connect: c.Connect.D, Parent: c.Parent.D, TLS: c.TLS.D, Request: c.Request.D, Response: c.Response.D, Body: c.Body.D, Trailer: c.Trailer.D}
}

// parents are the parent proxies as they are told of, and whether addresses are
// judged for them.
func (p *plan) parents() (out []string) {
	for i := range p.reach.Parents {
		x := &p.reach.Parents[i]
		match := "*"
		if x.Match != (dest.Pattern{}) {
			match = x.Match.String()
		}
		text := match + " by " + x.String()
		if x.Names {
			text += ", judged by name only"
			if x.Credentials {
				text += ", with credentials"
			}
		}
		out = append(out, text)
	}
	return out
}

// tellReach adds to a status how upstreams are reached.
func (p *plan) tellReach(out *admin.Status) {
	out.Parents = p.parents()
	if p.servers == nil {
		return
	}
	for _, s := range p.servers.Stats() {
		out.Resolvers = append(out.Resolvers, admin.Resolver{Server: s.Server, Asked: s.Asked, Failed: s.Failed})
	}
}

// warn says plainly where addresses are not judged.
func (p *plan) warn(log zerolog.Logger) {
	for i := range p.reach.Parents {
		if x := &p.reach.Parents[i]; x.Names {
			log.Warn().Str("parent", x.String()).Bool("credentials", x.Credentials).Msg("this parent proxy looks names up itself: what it connects to is judged by name only")
		}
	}
}

// detail is what a record says of how upstreams are reached.
func (p *plan) detail(d map[string]string) {
	if ps := p.parents(); len(ps) > 0 {
		d["network.parents"] = strings.Join(ps, "; ")
	}
	if p.servers != nil {
		var names []string
		for _, s := range p.servers.Stats() {
			names = append(names, s.Server)
		}
		d["network.resolvers"] = strings.Join(names, " ")
	}
}
