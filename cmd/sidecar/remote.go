package sidecar

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"

	"sallyport/admin"
	"sallyport/config"
)

// A remote is what the configuration says of the control API over TCP. The zero
// remote is none.
type remote struct {
	at  netip.AddrPort
	api admin.Remote
	is  [sha256.Size]byte // of what it was read from
}

// remote reads what is said of control.listen, and says what is wrong.
func (p *plan) readRemote(bad *config.Problems, c config.ControlListen, rel func(string) string) (r remote) {
	const key = "control.listen"
	parts := []struct {
		name string
		t    config.Text
	}{{"cert", c.Cert}, {"key", c.Key}, {"client_ca", c.ClientCA}, {"token", c.Token}}
	if c.Address.S == "" {
		for _, x := range parts {
			if x.t.S != "" {
				bad.Add(x.t.Pos, key+"."+x.name, "address is missing beside it: ADDRESS:PORT to listen on")
				break
			}
		}
		return remote{}
	}
	var err error
	if r.at, err = netip.ParseAddrPort(c.Address.S); err != nil || r.at.Port() == 0 {
		bad.Add(c.Address.Pos, key+".address", "expected ADDRESS:PORT with a number for each, such as 127.0.0.1:8443")
	}
	for _, x := range parts[:2] {
		if x.t.S == "" {
			bad.Add(c.Address.Pos, key+"."+x.name, "it is missing: the control API is spoken over TLS only; name a PEM file")
		}
	}
	if c.ClientCA.S == "" && c.Token.S == "" {
		bad.Add(c.Address.Pos, key, "whoever reaches it could command the sidecar: add client_ca, token, or both, of which each is asked then")
	}
	h := sha256.New()
	if c.Cert.S != "" && c.Key.S != "" {
		p.watch(rel(c.Cert.S))
		p.watch(rel(c.Key.S))
		if r.api.Certificate, err = tls.LoadX509KeyPair(rel(c.Cert.S), rel(c.Key.S)); err != nil {
			bad.Add(c.Cert.Pos, key+".cert", "%v", err)
		}
		for _, b := range r.api.Certificate.Certificate {
			h.Write(b)
		}
	}
	if c.ClientCA.S != "" {
		p.watch(rel(c.ClientCA.S))
		certs, text, err := readCertificates(rel(c.ClientCA.S))
		if err != nil {
			bad.Add(c.ClientCA.Pos, key+".client_ca", "%v", err)
		}
		r.api.Clients = x509.NewCertPool() // also when there is none: nobody is let in then
		for _, x := range certs {
			r.api.Clients.AddCert(x)
		}
		fmt.Fprintf(h, "%x", sha256.Sum256(text))
	}
	if c.Token.S != "" {
		if r.api.Tokens, err = readTokens(c.Token.S, rel, p.watch); err != nil {
			bad.Add(c.Token.Pos, key+".token", "%v", err)
		}
		fmt.Fprintf(h, "%x", r.api.Tokens)
	}
	r.is = [sha256.Size]byte(h.Sum(nil))
	for i := range p.sandboxes {
		if d := p.sandboxes[i].door.listen; d.IsValid() && d.Port() == r.at.Port() && (d.Addr() == r.at.Addr() || d.Addr().IsUnspecified() || r.at.Addr().IsUnspecified()) {
			bad.Add(c.Address.Pos, key+".address", "the explicit proxy of sandbox %s listens there", p.sandboxes[i].Name)
		}
	}
	return r
}

// listenRemote serves the API over TCP, when the configuration says so, until ctx
// ends. No sandbox reaches it, whatever policies, prefixes and bindings say.
func (s *sidecar) listenRemote(ctx context.Context, api *admin.Server, done chan<- error) error {
	at := s.plan.Load().remote.at
	if !at.IsValid() {
		return nil
	}
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return fmt.Errorf("control.listen: %w", err)
	}
	release := s.srv.Reserve(l)
	s.remote = api.NewRemote(func() *admin.Remote { return &s.plan.Load().remote.api })
	go func() {
		defer release()
		if err := s.remote.Serve(ctx, l); err != nil {
			done <- fmt.Errorf("control.listen: %w", err)
		}
	}()
	return nil
}

// recheckRemote ends what was let in over TCP and would not be any more.
func (s *sidecar) recheckRemote(old, now *plan) {
	if s.remote != nil && old.remote.is != now.remote.is {
		s.remote.Recheck()
	}
}

// actorDetail is an actor in the words of a record.
func actorDetail(a admin.Actor) map[string]string {
	if a.Remote == "" {
		return map[string]string{"actor.uid": fmt.Sprint(a.UID), "actor.gid": fmt.Sprint(a.GID), "actor.pid": fmt.Sprint(a.PID)}
	}
	d := map[string]string{"actor.name": a.Remote, "actor.address": a.From}
	if a.Certificate != "" {
		d["actor.certificate"] = a.Certificate
	}
	return d
}
