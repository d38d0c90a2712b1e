package leaf

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/dest"
)

func host(t testing.TB, s string) dest.Host {
	t.Helper()
	h, err := dest.ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func issuer(t testing.TB, o Options) (*Issuer, *x509.CertPool) {
	t.Helper()
	i, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(i.CAPEM()) {
		t.Fatal("the CA cannot be read back")
	}
	return i, roots
}

func TestHandshake(t *testing.T) {
	i, roots := issuer(t, Options{})
	for _, name := range []string{"api.example.com", "a_b.example.com", "xn--bcher-kva.example", "192.0.2.1", "2001:db8::1",
		"a-name-that-is-longer-than-the-sixty-four-bytes-of-a-common.name.example.com"} {
		c, err := i.Leaf(t.Context(), host(t, name))
		if err != nil {
			t.Fatal(err)
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*c}})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() {
			s, err := l.Accept()
			if err == nil {
				err = s.(*tls.Conn).Handshake()
				defer s.Close()
			}
			served <- err
		}()
		d, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := <-served; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, _ = d.Close(), l.Close()
		if n := len(c.Leaf.DNSNames) + len(c.Leaf.IPAddresses); n != 1 {
			t.Errorf("%s: the leaf has %d names", name, n)
		}
		for _, other := range []string{"other.example.com", "sub." + name, "192.0.2.2"} {
			if err := c.Leaf.VerifyHostname(other); err == nil {
				t.Errorf("%s: the leaf is good for %s", name, other)
			}
		}
		if c.Leaf.IsCA || !c.Leaf.BasicConstraintsValid || len(c.Leaf.ExtKeyUsage) != 1 || c.Leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth ||
			string(c.Leaf.AuthorityKeyId) != string(i.now.Load().ca.SubjectKeyId) || len(c.Leaf.SubjectKeyId) == 0 {
			t.Errorf("%s: the leaf is more or less than a server's: %+v", name, c.Leaf)
		}
	}
	if _, err := i.Leaf(t.Context(), dest.Host{}); err == nil {
		t.Error("a leaf without a name")
	}
}

// A leaf of one issuer is worth nothing to whoever trusts another: hostile 49.
func TestIssuersAreApart(t *testing.T) {
	i, _ := issuer(t, Options{})
	_, roots := issuer(t, Options{})
	c, err := i.Leaf(t.Context(), host(t, "example.com"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "example.com"}); err == nil {
		t.Fatal("another issuer's CA verifies the leaf")
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Size: -1}, {Lifetime: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) succeeds", o)
		}
	}
}

func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, _ := issuer(t, Options{Lifetime: 48 * time.Hour})
		h := host(t, "example.com")
		leaf := func() *tls.Certificate {
			t.Helper()
			c, err := i.Leaf(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		first := leaf()
		time.Sleep(17 * time.Hour)
		if leaf() != first {
			t.Error("a good leaf is made again")
		}
		time.Sleep(2 * time.Hour)
		second := leaf()
		if second == first || !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
			t.Error("a leaf that is about to end is handed out")
		}
		time.Sleep(20 * time.Hour) // nine hours before the CA ends
		last := leaf()
		if !last.Leaf.NotAfter.Equal(i.now.Load().ca.NotAfter) {
			t.Errorf("the leaf ends %v, the CA %v", last.Leaf.NotAfter, i.now.Load().ca.NotAfter)
		}
		time.Sleep(8 * time.Hour)
		if leaf() != last {
			t.Error("a leaf that cannot last longer is made again each time")
		}
		time.Sleep(time.Hour)
		if _, err := i.Leaf(t.Context(), h); err == nil {
			t.Error("an expired CA makes leaves")
		}
	})
}

// hostile 150: a clock that was set back.
func TestClockSetBack(t *testing.T) {
	i, _ := issuer(t, Options{})
	c, err := i.Leaf(t.Context(), host(t, "example.com"))
	if err != nil {
		t.Fatal(err)
	}
	if now := time.Now(); i.now.Load().fresh(c.Leaf, now.Add(-2*time.Hour)) || !i.now.Load().fresh(c.Leaf, now) {
		t.Error("a leaf that is not good yet is handed out")
	}
}

// hostile 50: no two leaves share a key, and two issuers share nothing.
func TestKeysDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		i, _ := issuer(t, Options{})
		for n := range 20 {
			c, err := i.Leaf(t.Context(), host(t, fmt.Sprintf("h%d.example.com", n)))
			if err != nil {
				t.Fatal(err)
			}
			b, err := c.PrivateKey.(*ecdsa.PrivateKey).Bytes()
			if err != nil || seen[string(b)] || seen[c.Leaf.SerialNumber.String()] {
				t.Fatal("a key or serial number came twice", err)
			}
			seen[string(b)], seen[c.Leaf.SerialNumber.String()] = true, true
		}
	}
}

// hostile 51: the cache is bounded, and many that ask at once make one.
func TestCache(t *testing.T) {
	i, _ := issuer(t, Options{Size: 8})
	var wg sync.WaitGroup
	got := make([]*tls.Certificate, 32)
	for n := range got {
		wg.Go(func() { got[n], _ = i.Leaf(context.Background(), host(t, "same.example.com")) })
	}
	wg.Wait()
	for _, c := range got {
		if c == nil || c != got[0] {
			t.Fatal("one name has two leaves")
		}
	}
	for n := range 100 {
		if _, err := i.Leaf(t.Context(), host(t, fmt.Sprintf("h%d.example.com", n))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(i.now.Load().leaves.at); n != 8 || i.now.Load().leaves.order.Len() != 8 {
		t.Fatalf("%d leaves are kept", n)
	}
}

// hostile 51
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget()
		take := func(n int) error { return b.Take(host(t, fmt.Sprintf("h%d.example.com", n))) }
		for n := range 256 {
			if err := take(n); err != nil {
				t.Fatalf("name %d: %v", n, err)
			}
		}
		for n := range 256 {
			if err := take(256 + n); !errors.Is(err, ErrBudget) {
				t.Fatalf("name %d: %v", 256+n, err)
			}
		}
		if err := take(1); err != nil {
			t.Error("a name asked for lately costs:", err)
		}
		time.Sleep(10 * time.Second)
		for n := range 10 {
			if err := take(1000 + n); err != nil {
				t.Errorf("ten seconds later, name %d: %v", n, err)
			}
		}
		if err := take(2000); !errors.Is(err, ErrBudget) {
			t.Error("ten seconds gave more than ten names:", err)
		}
		time.Sleep(24 * time.Hour)
		for n := range 257 {
			if err := take(3000 + n); (err != nil) != (n == 256) {
				t.Fatalf("a day later, name %d: %v", n, err)
			}
		}
	})
}

// hostile 51: what is made is paid for, also when names that were paid for once
// come round again; what is kept, or made by another, is not.
func TestLeafWithin(t *testing.T) {
	i, _ := issuer(t, Options{Size: 4})
	b := &Budget{}
	leaf := func(n int, b *Budget) error {
		_, err := i.LeafWithin(t.Context(), host(t, fmt.Sprintf("h%d.example.com", n)), b)
		return err
	}
	for range 1000 {
		if err := leaf(0, b); err != nil {
			t.Fatal("a leaf that is kept costs:", err)
		}
	}
	made := 1
	for ; made < 2*budgetBurst; made++ {
		if leaf(made%8, b) != nil {
			break
		}
	}
	if made < budgetBurst-8 || made > budgetBurst+8 {
		t.Fatalf("eight names in turn through a cache of four: %d leaves were made", made)
	}
	other := &Budget{}
	if err := leaf(made%8, other); err != nil {
		t.Error("one sandbox's budget refuses another:", err)
	}
	if err := leaf(made%8, b); err != nil {
		t.Error("a leaf that another sandbox had made costs:", err)
	}
}

// hostile 51: who waits for a leaf that another has made gets his money back, and
// who does not wait to the end does not hold up the others.
func TestJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, _ := issuer(t, Options{})
		h := host(t, "example.com")
		release := make(chan struct{})
		i.now.Load().flight.DoChan(h.String(), func() (any, error) {
			<-release
			return i.now.Load().mint(h)
		})
		synctest.Wait()

		var budgets [64]Budget
		for n := range budgets {
			go func() {
				if _, err := i.LeafWithin(t.Context(), h, &budgets[n]); err != nil {
					t.Error(err)
				}
			}()
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := i.Leaf(ctx, h)
			gone <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error("a caller that left:", err)
		}
		close(release)
		synctest.Wait()
		for n := range budgets {
			if budgets[n].left != budgetBurst {
				t.Fatalf("waiter %d paid %v", n, budgetBurst-budgets[n].left)
			}
		}
	})
}

func BenchmarkMint(b *testing.B) {
	i, _ := issuer(b, Options{})
	h := host(b, "api.example.com")
	for b.Loop() {
		if _, err := i.now.Load().mint(h); err != nil {
			b.Fatal(err)
		}
	}
}
