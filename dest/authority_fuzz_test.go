package dest

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// An authority that is taken has one reading: net/url has the same host and port,
// what is made of it reads as itself, and it goes to a name or an address that
// netip reads alike.
func FuzzParseAuthority(f *testing.F) {
	for _, s := range []string{
		"example.com:80", "[::1]:1", "a", "a@b:1", "EXAMPLE.com.:443", "1.2.3.4:80", "0x7f.1", "[::ffff:1.2.3.4]:1", "[fe80::1%25eth0]:1", "xn--bcher-kva.example:8080",
		"a:080", "a:", ":80", "a b:1", "a:1:2", "[a]:1", "[::1", "a%2e:1", "a\\b:1", "127.1:80", "a_b.c:65535", "::1:80", "[1.2.3.4]:1", "a..b", "é.example", "a:80/", "a#b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAuthority(s, 443)
		if err != nil {
			if a != (Addr{}) {
				t.Fatalf("%q is refused and yet %v", s, a)
			}
			return
		}
		if a.Port() == 0 || a.Host().IsZero() {
			t.Fatalf("%q reads as %q, which leads nowhere", s, a)
		}
		if again, err := ParseAddr(a.String()); err != nil || again != a {
			t.Fatalf("%q reads as %q, which reads as %q (%v)", s, a, again, err)
		}
		for scheme, port := range map[string]uint16{"http": 80, "https": 443} {
			if again, err := ParseAuthority(a.Authority(scheme), port); err != nil || again != a {
				t.Fatalf("%q is written %q for %s, which reads as %q (%v)", s, a.Authority(scheme), scheme, again, err)
			}
		}
		u, err := url.Parse("https://" + s + "/x")
		if err != nil || u.User != nil || u.Path != "/x" || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q reads as %q, and net/url reads %#v (%v)", s, a, u, err)
		}
		port := u.Port()
		if port == "" {
			port = "443"
		}
		name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
		if ip, err := netip.ParseAddr(name); err == nil {
			name = ip.Unmap().String()
		}
		if name != a.Host().String() || port != strconv.Itoa(int(a.Port())) {
			t.Fatalf("%q reads as %q, and net/url reads %q %q", s, a, u.Hostname(), u.Port())
		}
	})
}
