package sandbox

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"sallyport/dest"
)

// A TLS says how the target of a binding proves who it is, and who asks. It is
// not changed, and shows no key, whatever prints it. nil is as for others.
type TLS struct {
	key    string
	ca     string
	roots  *x509.CertPool
	name   dest.Host
	client func() *tls.Certificate // nil: nobody in particular
}

// NewTLS makes one of certificates in PEM that the target's may be of ("" means
// those of other upstreams), the name that it proves (zero means the target's),
// and the certificate of who asks (nil means none).
func NewTLS(ca string, name dest.Host, client *tls.Certificate) (*TLS, error) {
	t := &TLS{ca: ca, name: name}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q", ca, name)
	if ca != "" {
		t.roots = x509.NewCertPool()
		if !t.roots.AppendCertsFromPEM([]byte(ca)) {
			return nil, errors.New("there is no PEM certificate in ca")
		}
	}
	if client != nil {
		for _, c := range client.Certificate {
			fmt.Fprintf(h, " %x", sha256.Sum256(c))
		}
		t.client = func() *tls.Certificate { return client }
	}
	t.key = fmt.Sprintf("%x", h.Sum(nil))
	return t, nil
}

// Key differs between any two that say something else; "" is that of nil.
func (t *TLS) Key() string {
	if t == nil {
		return ""
	}
	return t.key
}

// Apply puts it on a configuration, which goes on to verify.
func (t *TLS) Apply(c *tls.Config) {
	if t == nil {
		return
	}
	if t.roots != nil {
		c.RootCAs = t.roots
	}
	if !t.name.IsZero() {
		c.ServerName = t.name.String()
	}
	if t.client != nil {
		c.Certificates = []tls.Certificate{*t.client()}
	}
}

// Said returns what it was made of, but for who asks.
func (t *TLS) Said() (ca string, name dest.Host, client bool) {
	if t == nil {
		return "", dest.Host{}, false
	}
	return t.ca, t.name, t.client != nil
}
