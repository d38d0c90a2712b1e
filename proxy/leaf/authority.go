package leaf

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"sallyport/dest"
)

// An authority is a CA, its key, and the leaves that it made. What it is does not
// change; another takes its place.
type authority struct {
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	elders []elder // youngest first

	flight singleflight.Group

	mu     sync.Mutex
	leaves *recent[dest.Host, *tls.Certificate]
	owed   map[dest.Host]struct{} // leaves that the rotation took from those who had paid
}

// An elder is a CA that was in force before, and the certificate with which it
// vouched for the key that came next.
type elder struct{ ca, cross *x509.Certificate }

// handover is how long before its end a certificate is not served any more: who
// is given a chain can look at it for that long.
const handover = 10 * time.Minute

// until is when an elder stops to lead here by itself.
func (e elder) until() time.Time { return e.cross.NotAfter.Add(-handover) }

// newAuthority makes a CA. One that lasts may vouch for those that come after it.
// All of these have the name of the first, which is named after its key, and differ
// by key: GnuTLS looks for what it trusts under the name at the end of a chain.
func newAuthority(o Options, lasts bool, after *x509.Certificate) (*authority, error) {
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
	if lasts {
		t.Subject.SerialNumber = hex.EncodeToString(id[:8])
		t.MaxPathLen, t.MaxPathLenZero = maxElders, false
	}
	if after != nil {
		t.RawSubject = after.RawSubject
	}
	ca, err := issue(t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &authority{ca: ca, key: key, leaves: newRecent[dest.Host, *tls.Certificate](o.Size)}, nil
}

func issue(t, by *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, by, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (a *authority) pem() []byte { return certPEM(a.ca) }

// chain is what stands behind a leaf for those who trust an elder, and when the
// first certificate of all that is needed ends.
func (a *authority) chain(now time.Time) (behind [][]byte, end time.Time) {
	end = a.ca.NotAfter
	for _, e := range a.living(now) {
		behind = append(behind, e.cross.Raw)
		if e.cross.NotAfter.Before(end) {
			end = e.cross.NotAfter
		}
	}
	return behind, end
}

// living are the elders that still lead here; the way of an older one goes by the
// younger ones.
func (a *authority) living(now time.Time) []elder {
	for n, e := range a.elders {
		if !now.Before(e.until()) {
			return a.elders[:n]
		}
	}
	return a.elders
}

func (a *authority) leaf(ctx context.Context, h dest.Host, b *Budget) (*tls.Certificate, error) {
	if c := a.kept(h); c != nil {
		return c, nil
	}
	if a.owes(h) {
		b = nil
	}
	if b != nil {
		// Before the flight, not in it: who joins a flight must not share the
		// refusal of the sandbox that leads it.
		if err := b.reserve(); err != nil {
			return nil, err
		}
	}
	made := false // written before got is, if at all
	got := a.flight.DoChan(h.String(), func() (any, error) {
		if c := a.kept(h); c != nil {
			return c, nil
		}
		c, err := a.mint(h)
		if err != nil {
			return nil, err
		}
		made = true
		a.mu.Lock()
		defer a.mu.Unlock()
		a.leaves.put(h, c)
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

func (a *authority) kept(h dest.Host) *tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.leaves.get(h)
	if ok && !a.fresh(c.Leaf, time.Now()) {
		a.leaves.drop(h)
		return nil
	}
	return c
}

// owes reports, once, whether a leaf is made only because of a rotation.
func (a *authority) owes(h dest.Host) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.owed[h]
	delete(a.owed, h)
	return ok
}

// fresh reports whether a leaf is good and for long enough to be handed out; one
// that ends with its chain cannot be had for longer. The clock may also have been
// set back (hostile 150).
func (a *authority) fresh(leaf *x509.Certificate, now time.Time) bool {
	if now.Before(leaf.NotBefore) || !now.Before(leaf.NotAfter) {
		return false
	}
	if leaf.NotAfter.Sub(now) > leafLifetime/4 {
		return true
	}
	_, end := a.chain(now)
	return leaf.NotAfter.Equal(end)
}
