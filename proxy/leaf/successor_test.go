package leaf

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func rotate(t testing.TB, i *Issuer) {
	t.Helper()
	s, err := i.Successor(0, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Adopt(s); err != nil {
		t.Fatal(err)
	}
}

// trusts verifies a chain as a client does that trusts one CA.
func trusts(ca *x509.Certificate, c *tls.Certificate, at time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca)
	for _, der := range c.Certificate[1:] {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(x)
	}
	_, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "example.com", CurrentTime: at})
	return err
}

// Whatever CA was in force when a client began to trust it, leaves are good for
// it, rotation after rotation, until it ends; and no longer than that.
func TestRotations(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		i, err := Open(dir, Options{Lifetime: 100 * day})
		if err != nil {
			t.Fatal(err)
		}
		h := host(t, "example.com")
		var cas []*x509.Certificate
		for n := range maxElders + 1 {
			if n > 0 {
				rotate(t, i)
			}
			cas = append(cas, i.CA().Certificate)
			c, err := i.Leaf(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			for k, ca := range cas {
				if err := trusts(ca, c, time.Now()); err != nil {
					t.Errorf("after %d rotations, CA %d: %v", n, k, err)
				}
			}
			if got := i.CA(); len(got.Older) != n || len(c.Certificate) != n+1 {
				t.Errorf("after %d rotations %d older CAs are told, and %d certificates served", n, len(got.Older), len(c.Certificate))
			}
			time.Sleep(10 * day)
		}
		// Now as many lead here as may, from 50 to 10 days old.
		if _, err := i.Successor(0, false); !errors.Is(err, ErrStranded) || !strings.Contains(err.Error(), "4 older ones are as many") {
			t.Errorf("one too many: %v", err)
		}
		if s, err := i.Successor(0, true); err != nil || len(s.CA().Older) != maxElders || len(s.Lost()) != 1 || !s.Lost()[0].Equal(cas[0]) {
			t.Errorf("%+v %v", s, err)
		}
		older := i.CA().Older
		for n, o := range older { // youngest first
			if !o.Certificate.Equal(cas[maxElders-1-n]) || !o.Until.Equal(o.Certificate.NotAfter.Add(-handover)) {
				t.Errorf("older CA %d: %s until %s", n, o.Certificate.Subject, o.Until)
			}
		}
		// A leaf ends with its chain, and begins again when that is shorter.
		time.Sleep(time.Until(cas[0].NotAfter.Add(-3 * time.Hour)))
		c, err := i.Leaf(t.Context(), h)
		if err != nil || !c.Leaf.NotAfter.Equal(cas[0].NotAfter) || trusts(cas[0], c, time.Now()) != nil {
			t.Errorf("three hours before the oldest ends: until %s: %v %v", c.Leaf.NotAfter, trusts(cas[0], c, time.Now()), err)
		}
		if again, _ := i.Leaf(t.Context(), h); again != c {
			t.Error("a leaf that cannot last longer is made again each time")
		}
		time.Sleep(time.Until(cas[0].NotAfter.Add(-handover)))
		short := c
		if c, err = i.Leaf(t.Context(), h); err != nil || c == short || len(c.Certificate) != maxElders || time.Until(c.Leaf.NotAfter) < 23*time.Hour {
			t.Errorf("when the oldest is about to end: %d certificates until %s: %v", len(c.Certificate), c.Leaf.NotAfter, err)
		}
		if trusts(cas[0], c, time.Now()) == nil {
			t.Error("a CA leads here after its end")
		}
		for _, ca := range cas[1:] {
			if err := trusts(ca, c, time.Now()); err != nil {
				t.Error(err)
			}
		}
		rotate(t, i) // there is room again
		if c, err = i.Leaf(t.Context(), h); err != nil || trusts(cas[1], c, time.Now()) != nil || len(i.CA().Older) != maxElders {
			t.Errorf("%v, %d older CAs", err, len(i.CA().Older))
		}
		// All of it is on disk.
		again, err := Open(dir, Options{})
		if err != nil || len(again.CA().Older) != maxElders || !bytes.Equal(again.CAPEM(), i.CAPEM()) {
			t.Fatalf("%v", err)
		}
		if c, err = again.Leaf(t.Context(), h); err != nil || trusts(cas[1], c, time.Now()) != nil {
			t.Errorf("after a restart: %v", err)
		}
	})
}

// hostile 204: what vouches for a CA widens nothing. A leaf ends before anything
// that stands behind it, no CA that vouches may be followed by more than are
// kept, and one that is not rotated is followed by none. All have one name, which
// no other sidecar's have, and no two one key.
func TestOverlapIsNarrow(t *testing.T) {
	i, dir := lasting(t, Options{Lifetime: 3 * time.Hour})
	keys, name := map[string]bool{}, i.now.Load().ca.RawSubject
	for range maxElders + 1 {
		a := i.now.Load()
		c, err := i.Leaf(t.Context(), host(t, "example.com"))
		if err != nil {
			t.Fatal(err)
		}
		if a.ca.MaxPathLen != maxElders || keys[string(a.ca.SubjectKeyId)] || !bytes.Equal(a.ca.RawSubject, name) || !bytes.Equal(a.ca.RawIssuer, name) {
			t.Errorf("%s has path length %d", a.ca.Subject, a.ca.MaxPathLen)
		}
		keys[string(a.ca.SubjectKeyId)] = true
		for n, der := range c.Certificate[1:] {
			x, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if x.NotAfter.Before(c.Leaf.NotAfter) || x.NotAfter.After(a.elders[n].ca.NotAfter) || x.MaxPathLen != maxElders-1 || !x.IsCA || x.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
				t.Errorf("%d: %s until %s, the leaf until %s: %+v", n, x.Subject, x.NotAfter, c.Leaf.NotAfter, x)
			}
		}
		if len(keys) > maxElders {
			break
		}
		s, err := i.Successor(24*time.Hour, false) // longer than what vouches for it
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Adopt(s); err != nil {
			t.Fatal(err)
		}
	}
	if other, _ := lasting(t, Options{}); bytes.Equal(other.CA().Certificate.RawSubject, name) {
		t.Error("the CAs of two sidecars have one name")
	}
	run, _ := issuer(t, Options{})
	if ca := run.CA().Certificate; ca.MaxPathLen != 0 || !ca.MaxPathLenZero {
		t.Error("a CA that is not rotated may vouch for others")
	}
	if _, err := run.Successor(0, true); err == nil {
		t.Error("a CA that is kept nowhere is rotated")
	}
	b, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil || bytes.Count(b, []byte("PRIVATE KEY-----")) != 2 || bytes.Count(b, []byte("BEGIN CERTIFICATE")) != 1+2*maxElders {
		t.Errorf("one key and all certificates are kept: %v", err)
	}
}

// hostile 201: after a rotation no leaf of the CA before is handed out, neither
// one that was kept nor one that was being made.
func TestOldLeavesAreGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		i, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		kept, making := host(t, "kept.example.com"), host(t, "making.example.com")
		old, err := i.Leaf(t.Context(), kept)
		if err != nil {
			t.Fatal(err)
		}
		a, release := i.now.Load(), make(chan struct{})
		a.flight.DoChan(making.String(), func() (any, error) {
			<-release
			return a.mint(making)
		})
		synctest.Wait()
		rotate(t, i)
		ca := i.CA().Certificate
		got := make(chan *tls.Certificate, 1)
		go func() {
			c, err := i.Leaf(t.Context(), making)
			if err != nil {
				t.Error(err)
			}
			got <- c
		}()
		synctest.Wait()
		select {
		case c := <-got:
			if c.Leaf.CheckSignatureFrom(ca) != nil {
				t.Error("a leaf that was being made is of the CA before")
			}
		default:
			t.Error("a new leaf waits for an old one")
		}
		close(release)
		synctest.Wait()
		for _, h := range []string{"kept.example.com", "making.example.com"} {
			c, err := i.Leaf(t.Context(), host(t, h))
			if err != nil || c == old || c.Leaf.CheckSignatureFrom(ca) != nil || !bytes.Equal(c.Leaf.AuthorityKeyId, ca.SubjectKeyId) {
				t.Errorf("%s: the leaf is of the CA before: %v", h, err)
			}
		}
	})
}

// A rotation costs nobody's budget what it was paid for before.
func TestRotationIsFree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) { // so that no time passes in which the budget grows
		i, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := NewBudget()
		leaf := func(n int) error {
			_, err := i.LeafWithin(t.Context(), host(t, fmt.Sprintf("h%d.example.com", n)), b)
			return err
		}
		n := 0
		for leaf(n) == nil {
			n++
		}
		rotate(t, i)
		for k := range n {
			if err := leaf(k); err != nil {
				t.Fatalf("name %d of %d after a rotation: %v", k, n, err)
			}
		}
		if err := leaf(2 * n); !errors.Is(err, ErrBudget) {
			t.Errorf("a new name: %v", err)
		}
	})
}

// What was made to follow another CA than the one in force does not.
func TestOneAtATime(t *testing.T) {
	i, dir := lasting(t, Options{})
	s, err := i.Successor(0, false)
	if err != nil {
		t.Fatal(err)
	}
	rotate(t, i)
	if err := i.Adopt(s); err == nil || !strings.Contains(err.Error(), "rotated meanwhile") {
		t.Errorf("%v", err)
	}
	other, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	rotate(t, other)
	before := i.CAPEM()
	if s, err = i.Successor(0, false); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, certFile)); err != nil || !bytes.Equal(b, other.CAPEM()) {
		t.Errorf("the copy of the certificate is another: %v", err)
	}
	if err := i.Adopt(s); err == nil || !strings.Contains(err.Error(), "is not the CA that is in force") || !bytes.Equal(before, i.CAPEM()) {
		t.Errorf("over another process's: %v", err)
	}
}

// OpenSSL, as strict as it can be, and GnuTLS, which builds no path of its own,
// follow the same chain from each CA, the oldest as well as the newest.
func TestOthersVerify(t *testing.T) {
	for name, pkg := range map[string]string{"openssl": "openssl", "certtool": "gnutls-bin"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is missing: apt-get install -y %s", name, pkg)
		}
	}
	i, dir := lasting(t, Options{Lifetime: time.Hour})
	cas := [][]byte{i.CAPEM()}
	for range maxElders {
		rotate(t, i)
		cas = append(cas, i.CAPEM())
	}
	c, err := i.Leaf(t.Context(), host(t, "example.com"))
	if err != nil {
		t.Fatal(err)
	}
	var between []byte
	for _, der := range c.Certificate[1:] {
		between = append(between, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	file := func(name string, b []byte) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return f
	}
	leaf, rest, chain := file("leaf", certPEM(c.Leaf)), file("rest", between), file("chain", append(certPEM(c.Leaf), between...))
	stranger, _ := issuer(t, Options{})
	for n, ca := range append(cas, stranger.CAPEM()) {
		trusted := file("trusted", ca)
		for _, args := range [][]string{
			{"openssl", "verify", "-x509_strict", "-no-CAfile", "-no-CApath", "-no-CAstore", "-purpose", "sslserver", "-verify_hostname", "example.com", "-CAfile", trusted, "-untrusted", rest, leaf},
			{"certtool", "--verify", "--verify-profile", "medium", "--verify-hostname", "example.com", "--load-ca-certificate", trusted, "--infile", chain},
		} {
			out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
			if (err == nil) != (n < len(cas)) {
				t.Errorf("%s, CA %d of %d: %s%v", args[0], n, len(cas), out, err)
			}
		}
	}
}
