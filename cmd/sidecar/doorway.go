package sidecar

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"sallyport/config"
	"sallyport/dest"
	"sallyport/proxy"
)

// A doorway is what the configuration says of an explicit proxy on TCP. The zero
// doorway is none.
type doorway struct {
	listen netip.AddrPort
	tokens [][sha256.Size]byte // digests
	names  []dest.Host         // of certificates; none is no TLS
	pins   [][sha256.Size]byte // of clients' certificates
	roots  *x509.CertPool      // of clients' certificates, with a name
	name   string
	trust  [sha256.Size]byte // of what roots were read from
}

// is reports whether another asks the same in the same place.
func (d *doorway) is(o *doorway) bool {
	return d.listen == o.listen && slices.Equal(d.tokens, o.tokens) && slices.Equal(d.names, o.names) && slices.Equal(d.pins, o.pins) && d.name == o.name && d.trust == o.trust
}

// asks is what the gate asks at this doorway.
func (d *doorway) asks(issuer proxy.Issuer) proxy.Asks {
	a := proxy.Asks{Tokens: d.tokens}
	if len(d.names) == 0 {
		return a
	}
	a.TLS = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, SessionTicketsDisabled: true, // each handshake proves who it is
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := d.names[0]
			if a, ok := h.Conn.LocalAddr().(*net.TCPAddr); ok && h.ServerName == "" { // reached by its address
				if ip := dest.HostFromAddr(a.AddrPort().Addr().Unmap().WithZone("")); slices.Contains(d.names, ip) {
					name = ip
				}
			}
			if h.ServerName != "" {
				asked, err := dest.ParseHost(h.ServerName)
				if err != nil || !slices.Contains(d.names, asked) {
					return nil, errors.New("the proxy was asked for by a name that is not in tls_names")
				}
				name = asked
			}
			return issuer.LeafWithin(h.Context(), name, nil)
		}}
	if len(d.pins) > 0 || d.roots != nil {
		a.TLS.ClientAuth, a.Client = tls.RequireAnyClientCert, d.client
	}
	return a
}

// client judges the certificates that a client holds.
func (d *doorway) client(certs []*x509.Certificate) error {
	if len(certs) == 0 {
		return errors.New("no certificate was shown")
	}
	c := certs[0]
	if now := time.Now(); now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return errors.New("the client's certificate is not good now")
	}
	if d.roots == nil {
		if !slices.Contains(d.pins, sha256.Sum256(c.Raw)) {
			return errors.New("the client's certificate is not one of client_cert")
		}
		return nil
	}
	between := x509.NewCertPool()
	for _, x := range certs[1:] {
		between.AddCert(x)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: d.roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return fmt.Errorf("the client's certificate is not of client_ca: %w", err)
	}
	for _, u := range c.URIs {
		if u.String() == d.name {
			return nil
		}
	}
	if !slices.Contains(c.DNSNames, d.name) {
		return errors.New("the client's certificate has another name than client_name")
	}
	return nil
}

// doorway reads what is said of an explicit proxy, and says what is wrong.
func (p *plan) doorway(bad *config.Problems, key string, c config.Explicit, rel func(string) string) (d doorway) {
	key += ".explicit"
	if c.Listen.S == "" {
		for _, x := range []struct {
			name string
			t    config.Text
		}{{"token", c.Token}, {"client_cert", c.ClientCert}, {"client_ca", c.ClientCA}, {"client_name", c.ClientName}, {"tls_names", first(c.TLSNames)}} {
			if x.t.S != "" {
				bad.Add(x.t.Pos, key+"."+x.name, "it is for a listener on TCP, and there is no listen beside it")
			}
		}
		return d
	}
	var err error
	if d.listen, err = netip.ParseAddrPort(c.Listen.S); err != nil || d.listen.Port() == 0 {
		bad.Add(c.Listen.Pos, key+".listen", "expected ADDRESS:PORT with a number for each, such as 127.0.0.1:3128")
	}
	if c.Token.S == "" && c.ClientCert.S == "" && c.ClientCA.S == "" {
		bad.Add(c.Listen.Pos, key+".listen", "whoever reaches it would be this sandbox: add token, client_cert, or client_ca with client_name")
	}
	if c.Token.S != "" {
		if d.tokens, err = readTokens(c.Token.S, rel, p.watch); err != nil {
			bad.Add(c.Token.Pos, key+".token", "%v", err)
		}
	}
	for i, t := range c.TLSNames {
		h, err := dest.ParseHost(t.S)
		if err != nil {
			bad.Add(t.Pos, fmt.Sprintf("%s.tls_names[%d]", key, i), "%v; expected a name or an address of the proxy", err)
			continue
		}
		d.names = append(d.names, h)
	}
	p.clients(bad, key, c, rel, &d)
	return d
}

// clients reads which certificates a client has to hold.
func (p *plan) clients(bad *config.Problems, key string, c config.Explicit, rel func(string) string, d *doorway) {
	if c.ClientCert.S == "" && c.ClientCA.S == "" {
		if c.ClientName.S != "" {
			bad.Add(c.ClientName.Pos, key+".client_name", "it says which certificate of client_ca is this sandbox's, and there is no client_ca")
		}
		return
	}
	if len(c.TLSNames) == 0 {
		if d.listen.Addr().IsUnspecified() {
			bad.Add(c.Listen.Pos, key+".tls_names", "it is missing: by which names is the proxy reached? Its certificate is for those")
		} else if d.listen.IsValid() {
			d.names = []dest.Host{dest.HostFromAddr(d.listen.Addr())}
		}
	}
	if c.ClientCert.S != "" && c.ClientCA.S != "" {
		bad.Add(c.ClientCA.Pos, key+".client_ca", "client_cert says already which certificates are this sandbox's: one of the two")
		return
	}
	at, name := c.ClientCert, ".client_cert"
	if c.ClientCA.S != "" {
		at, name = c.ClientCA, ".client_ca"
		if d.name = c.ClientName.S; d.name == "" {
			bad.Add(c.ClientCA.Pos, key+".client_ca", "client_name is missing: which certificate of this CA is this sandbox's?")
		}
	}
	p.watch(rel(at.S))
	certs, text, err := readCertificates(rel(at.S))
	if err != nil {
		bad.Add(at.Pos, key+name, "%v", err)
		return
	}
	if c.ClientCA.S == "" {
		for _, x := range certs {
			d.pins = append(d.pins, sha256.Sum256(x.Raw))
		}
		return
	}
	d.roots, d.trust = x509.NewCertPool(), sha256.Sum256(text)
	for _, x := range certs {
		d.roots.AddCert(x)
	}
}

// watch has a file looked at for changes, from before it is read.
func (p *plan) watch(path string) {
	p.watched, p.seen = append(p.watched, path), lookOn(p.seen, path)
}

// readCertificates reads the certificates of a PEM file, and its text.
func readCertificates(path string) (out []*x509.Certificate, text []byte, err error) {
	if text, err = os.ReadFile(path); err != nil {
		return nil, nil, err
	}
	for rest := text; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, nil, fmt.Errorf("%s: there is no PEM certificate in it", path)
	}
	return out, bytes.Clone(text), nil
}

func first(ts []config.Text) (t config.Text) {
	if len(ts) > 0 {
		t = ts[0]
	}
	return t
}

// apart says where two sandboxes could be taken for each other: one listener, or
// one token, is one sandbox's.
func (p *plan) apart(bad *config.Problems) {
	for i := range p.sandboxes {
		a := &p.sandboxes[i]
		for j := range i {
			b := &p.sandboxes[j]
			if x, y := a.door.listen, b.door.listen; x.IsValid() && x.Port() == y.Port() && (x.Addr() == y.Addr() || x.Addr().IsUnspecified() || y.Addr().IsUnspecified()) {
				bad.Add(a.pos, "sandboxes."+a.Name+".explicit.listen", "%s listens there already, on %s: a listener is one sandbox's", b.Name, y)
			}
			if slices.ContainsFunc(a.door.tokens, func(d [sha256.Size]byte) bool { return slices.Contains(b.door.tokens, d) }) {
				bad.Add(a.pos, "sandboxes."+a.Name+".explicit.token", "it is that of %s as well: a token is one sandbox's", b.Name)
			}
		}
	}
}
