// Package leaf makes the certificates under which intercepted connections are opened.
package leaf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/dest"
)

// Options of an Issuer; the zero Options are good.
type Options struct {
	CommonName string        // of the CA; "" means sallyport
	Lifetime   time.Duration // of the CA; 0 means 30 days
	Size       int           // leaves kept; 0 means 1024
}

func (o Options) whole() (Options, error) {
	if o.Lifetime < 0 || o.Size < 0 {
		return o, errors.New("the lifetime of a CA and the number of leaves kept are not negative")
	}
	if o.CommonName == "" {
		o.CommonName = "sallyport"
	}
	if o.Lifetime == 0 {
		o.Lifetime = 30 * 24 * time.Hour
	}
	if o.Size == 0 {
		o.Size = 1024
	}
	return o, nil
}

// leafLifetime is how long a leaf is good. It begins an hour ago, for clocks
// that are behind.
const (
	leafLifetime = 24 * time.Hour
	backdated    = time.Hour
)

// An Issuer makes leaves by a CA whose key cannot be read. It is safe for
// concurrent use.
type Issuer struct {
	now atomic.Pointer[authority]
	dir string // where the CA is kept; "" is nowhere
	o   Options

	adopting sync.Mutex
}

func newIssuer(dir string, o Options, a *authority) *Issuer {
	i := &Issuer{dir: dir, o: o}
	i.now.Store(a)
	return i
}

// New makes a CA in memory, with a key of its own. It vouches for leaves and for
// no other CA, and is not rotated.
func New(o Options) (*Issuer, error) {
	o, err := o.whole()
	if err != nil {
		return nil, err
	}
	a, err := newAuthority(o, false, nil)
	if err != nil {
		return nil, err
	}
	return newIssuer("", o, a), nil
}

// CAPEM returns the CA's certificate in PEM, for those who are to trust it.
func (i *Issuer) CAPEM() []byte { return i.now.Load().pem() }

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Leaf returns a certificate for exactly one name or address: the same pointer
// for as long as it is kept and good. Many that ask for one name at once make
// one. It fails for the zero Host, when the CA has expired, and with ctx.
func (i *Issuer) Leaf(ctx context.Context, h dest.Host) (*tls.Certificate, error) {
	return i.LeafWithin(ctx, h, nil)
}

// LeafWithin is Leaf for a sandbox that may have only so many made: a leaf that
// is kept, or that another made meanwhile, costs nothing, one that is made costs
// one of the budget, and ErrBudget says that it is spent. A nil Budget is none.
func (i *Issuer) LeafWithin(ctx context.Context, h dest.Host, b *Budget) (*tls.Certificate, error) {
	if h.IsZero() {
		return nil, errors.New("a leaf needs a name")
	}
	return i.now.Load().leaf(ctx, h, b)
}
