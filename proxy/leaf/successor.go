package leaf

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/dest"
)

// maxElders bounds the older CAs that lead to the one in force. It is also how
// many CAs may follow one in a chain, which clients bound too: rustls at six.
const maxElders = 4

// ErrStranded means that a rotation would leave those behind who trust an older CA.
var ErrStranded = errors.New("what trusts an older CA would not trust the new one")

// A CA is what there is to tell of an Issuer's CA.
type CA struct {
	Certificate *x509.Certificate
	Older       []Older // that still lead to it, youngest first
}

// An Older is a CA that was in force before. What trusts it alone trusts leaves
// that are made now, until it ends.
type Older struct {
	Certificate *x509.Certificate
	Until       time.Time
}

// CA tells of the CA that is in force.
func (i *Issuer) CA() CA { return i.now.Load().tell(time.Now()) }

func (a *authority) tell(now time.Time) CA {
	out := CA{Certificate: a.ca}
	until := a.ca.NotAfter
	for _, e := range a.living(now) {
		if e.until().Before(until) {
			until = e.until()
		}
		out.Older = append(out.Older, Older{e.ca, until})
	}
	return out
}

// A Successor is a CA that may take the place of the one in force: Adopt says when.
type Successor struct {
	of, next *authority
	lost     []*x509.Certificate
}

// CA tells of it as it would be in force.
func (s *Successor) CA() CA { return s.next.tell(time.Now()) }

// Lost are the CAs that lead to the one in force and will not lead to this.
func (s *Successor) Lost() []*x509.Certificate { return s.lost }

// Successor makes a CA to follow the one in force, good for a lifetime (0 is that
// of the issuer's options), and has the one in force vouch for it. Nothing else is
// changed. ErrStranded says that an older CA could not lead to it, unless strand
// allows that; an expired one leads nowhere anyway.
func (i *Issuer) Successor(lifetime time.Duration, strand bool) (*Successor, error) {
	if i.dir == "" {
		return nil, errors.New("a CA that is kept nowhere is not rotated")
	}
	o, now := i.o, time.Now()
	if lifetime != 0 {
		o.Lifetime = lifetime
	}
	o, err := o.whole()
	if err != nil {
		return nil, err
	}
	s := &Successor{of: i.now.Load()}
	if s.next, err = newAuthority(o, true, s.of.ca); err != nil {
		return nil, err
	}
	if !now.Before(s.of.ca.NotAfter.Add(-handover)) {
		return s, nil
	}
	cross, err := s.of.vouch(s.next.ca, now)
	if err != nil {
		return nil, err
	}
	all := append([]elder{{s.of.ca, cross}}, s.of.living(now)...)
	n := reach(all)
	s.next.elders = all[:n]
	for _, e := range all[n:] {
		s.lost = append(s.lost, e.ca)
	}
	if len(s.lost) > 0 && !strand {
		return nil, stranded(s.lost)
	}
	return s, nil
}

func stranded(lost []*x509.Certificate) error {
	var sums []string
	for _, c := range lost {
		sums = append(sums, fmt.Sprintf("%x", sha256.Sum256(c.Raw)))
	}
	why := fmt.Sprintf("%d older ones are as many as clients follow", maxElders)
	if lost[0].MaxPathLen == 0 {
		why = "it may not vouch for another"
	}
	return fmt.Errorf("%w: %s (sha256 %s, good until %s)", ErrStranded, why, strings.Join(sums, ", "), lost[0].NotAfter.Format(time.DateOnly))
}

// reach is how many of these elders, youngest first, may stand that far away.
func reach(all []elder) int {
	for n, e := range all {
		if n == maxElders || e.ca.MaxPathLen >= 0 && e.ca.MaxPathLen < n+1 {
			return n
		}
	}
	return len(all)
}

// vouch makes the certificate by which those who trust this CA trust the key of
// the next. It ends with the first of both.
func (a *authority) vouch(next *x509.Certificate, now time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, RawSubject: next.RawSubject, NotBefore: now.Add(-backdated), NotAfter: next.NotAfter,
		KeyUsage: next.KeyUsage, BasicConstraintsValid: true, IsCA: true, MaxPathLen: maxElders - 1,
		SubjectKeyId: next.SubjectKeyId, AuthorityKeyId: a.ca.SubjectKeyId,
	}
	if a.ca.NotAfter.Before(t.NotAfter) {
		t.NotAfter = a.ca.NotAfter
	}
	pub, err := publicKey(next)
	if err != nil {
		return nil, err
	}
	return issue(t, a.ca, pub, a.key)
}

// Adopt puts a Successor in the place of the CA in force, on disk and then here,
// and destroys the key of the one before. An error says that the old CA is still
// in force, or what could not be done after it was not.
func (i *Issuer) Adopt(s *Successor) error {
	i.adopting.Lock()
	defer i.adopting.Unlock()
	if i.now.Load() != s.of {
		return errors.New("the CA was rotated meanwhile")
	}
	done, err := replace(i.dir, s.of, s.next)
	if !done {
		return err
	}
	s.next.owed = s.of.names()
	i.now.Store(s.next)
	return err
}

// names are those of the leaves that are kept.
func (a *authority) names() map[dest.Host]struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[dest.Host]struct{}{}
	for h := range a.leaves.at {
		out[h] = struct{}{}
	}
	return out
}
