// Package leaf makes the certificates under which intercepted connections are opened.
package leaf

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"sallyport/dest"
)

// Options of an Issuer; the zero Options are good.
type Options struct {
	CommonName string        // of the CA; "" means sallyport
	Lifetime   time.Duration // of the CA; 0 means 30 days
	Size       int           // leaves kept; 0 means 1024
}

// leafLifetime is how long a leaf is good. It begins an hour ago, for clocks
// that are behind.
const (
	leafLifetime = 24 * time.Hour
	backdated    = time.Hour
)

// An Issuer is a CA in memory: its key is made for it and cannot be read. It is
// safe for concurrent use.
type Issuer struct {
	ca     *x509.Certificate
	caKey  *ecdsa.PrivateKey
	pem    []byte
	flight singleflight.Group

	mu     sync.Mutex
	leaves *recent[dest.Host, *tls.Certificate]
}

// New makes a CA with a key of its own.
func New(o Options) (*Issuer, error) {
	if o.Lifetime < 0 || o.Size < 0 {
		return nil, errors.New("the lifetime of a CA and the number of leaves kept are not negative")
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	id, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: o.CommonName, Organization: []string{"sallyport"}},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(o.Lifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		SubjectKeyId: id, AuthorityKeyId: id,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Issuer{ca: ca, caKey: key, leaves: newRecent[dest.Host, *tls.Certificate](o.Size),
		pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// CAPEM returns a copy of the CA's certificate in PEM, for those who are to trust it.
func (i *Issuer) CAPEM() []byte { return append([]byte(nil), i.pem...) }

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
	if c := i.kept(h); c != nil {
		return c, nil
	}
	if b != nil {
		// Before the flight, not in it: who joins a flight must not share the
		// refusal of the sandbox that leads it.
		if err := b.reserve(); err != nil {
			return nil, err
		}
	}
	made := false // written before got is, if at all
	got := i.flight.DoChan(h.String(), func() (any, error) {
		if c := i.kept(h); c != nil {
			return c, nil
		}
		c, err := i.mint(h)
		if err != nil {
			return nil, err
		}
		made = true
		i.mu.Lock()
		defer i.mu.Unlock()
		i.leaves.put(h, c)
		return c, nil
	})
	select {
	case r := <-got:
		if b != nil && !made {
			b.refund()
		}
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*tls.Certificate), nil
	case <-ctx.Done():
		return nil, ctx.Err() // what was reserved stays spent: the leaf is being made
	}
}

func (i *Issuer) kept(h dest.Host) *tls.Certificate {
	i.mu.Lock()
	defer i.mu.Unlock()
	c, ok := i.leaves.get(h)
	if ok && !i.fresh(c.Leaf, time.Now()) {
		i.leaves.drop(h)
		return nil
	}
	return c
}

// fresh reports whether a leaf is good and for long enough to be handed out; one
// that ends with the CA cannot be had for longer. The clock may also have been
// set back (hostile 150).
func (i *Issuer) fresh(leaf *x509.Certificate, now time.Time) bool {
	if now.Before(leaf.NotBefore) || !now.Before(leaf.NotAfter) {
		return false
	}
	return leaf.NotAfter.Sub(now) > leafLifetime/4 || leaf.NotAfter.Equal(i.ca.NotAfter)
}
