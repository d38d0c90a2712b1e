package sidecar

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/admin"
	"sallyport/proxy/leaf"
)

const day = 24 * time.Hour

// CADays is how long a CA is good that nobody said otherwise of.
const CADays = 365

// caNotice is how long before its end a CA is warned of, or a third of its life.
const caNotice = 30 * day

// CAOptions are those of a sidecar's CA that is good for so many days.
func CAOptions(days int) leaf.Options {
	return leaf.Options{CommonName: "sallyport", Lifetime: time.Duration(days) * day}
}

// Fingerprint is the SHA-256 of a certificate, in hexadecimal.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func olderCA(c *x509.Certificate, until time.Time) admin.OlderCA {
	return admin.OlderCA{SHA256: Fingerprint(c), Until: until}
}

func olderCAs(ca leaf.CA) (out []admin.OlderCA) {
	for _, o := range ca.Older {
		out = append(out, olderCA(o.Certificate, o.Until))
	}
	return out
}

func (s *sidecar) caEnd() time.Time { return s.issuer.CA().Certificate.NotAfter }

// tellCA adds to a status what there is to say of the CA.
func (s *sidecar) tellCA(out *admin.Status, now time.Time) {
	out.CA = string(s.issuer.CAPEM())
	ca := s.issuer.CA()
	out.Older = olderCAs(ca)
	from, until := ca.Certificate.NotBefore, ca.Certificate.NotAfter
	switch {
	case !now.Before(until):
		out.Ready, out.Reasons = false, append(out.Reasons, fmt.Sprintf("the CA ended on %s, and no TLS can be opened: rotate it (sallyport ca rotate)", until.Format(time.DateOnly)))
	case until.Sub(now) < min(caNotice, until.Sub(from)/3):
		out.Reasons = append(out.Reasons, fmt.Sprintf("the CA ends on %s: rotate it before (sallyport ca rotate), and what trusts it now goes on until then", until.Format(time.DateOnly)))
	}
}

// RotateCA puts a new CA in the place of the one in force, which vouches for it:
// recorded, then on disk, then for new connections.
func (s *sidecar) RotateCA(ctx context.Context, a admin.Actor, r admin.Rotate) (admin.Rotated, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Days == 0 {
		r.Days = CADays
	}
	old := s.issuer.CA().Certificate
	next, err := s.issuer.Successor(time.Duration(r.Days)*day, r.Force)
	if errors.Is(err, leaf.ErrStranded) {
		return admin.Rotated{}, fmt.Errorf("%w: %w; with force it is rotated all the same, and sandboxes that trust this CA have to be made again", admin.ErrConflict, err)
	}
	if err != nil {
		return admin.Rotated{}, err
	}
	ca := next.CA()
	what := map[string]string{"ca.from": Fingerprint(old), "ca.to": Fingerprint(ca.Certificate), "ca.until": ca.Certificate.NotAfter.UTC().Format(time.RFC3339)}
	for _, c := range next.Lost() {
		what["ca.lost"] = strings.TrimSpace(what["ca.lost"] + " " + Fingerprint(c))
	}
	if err := s.control(ctx, a, nil, "ca.rotate", what); err != nil {
		return admin.Rotated{}, err
	}
	if err := s.issuer.Adopt(next); err != nil {
		what["error"] = err.Error()
		return admin.Rotated{}, errors.Join(err, s.control(ctx, a, nil, "ca.rotate.error", what))
	}
	out := admin.Rotated{CA: string(s.issuer.CAPEM()), Older: olderCAs(ca)}
	for _, c := range next.Lost() {
		out.Lost = append(out.Lost, olderCA(c, c.NotAfter))
	}
	return out, nil
}
