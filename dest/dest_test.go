package dest

import (
	"errors"
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	for _, c := range []struct{ in, want, remark string }{
		{"example.com", "example.com", ""},
		{"EXAMPLE.Com", "example.com", "hostile 17: case"},
		{"example.com.", "example.com", "hostile 16: trailing dot"},
		{"_srv._tcp.example.com", "_srv._tcp.example.com", "service names"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", "an A-label"},
		{"192.0.2.1", "192.0.2.1", ""},
		{"::ffff:127.0.0.1", "127.0.0.1", "hostile 3: mapped"},
		{"2001:DB8:0:0::1", "2001:db8::1", ""},
		{"localhost", "localhost", "refused when it is dialled, not when it is read"},
		{"", "", "empty"},
		{"..", "", "hostile 27: empty labels"},
		{"a..b", "", "hostile 27: empty label"},
		{"example.com..", "", "hostile 16: two dots"},
		{"2130706433", "", "hostile 2: decimal"},
		{"0x7f000001", "", "hostile 2: hexadecimal"},
		{"127.1", "", "hostile 2: short"},
		{"0177.0.0.1", "", "hostile 2: octal"},
		{"1.2.3.4.5", "", "hostile 2: ends in a number"},
		{"foo.0x7f", "", "hostile 2: ends in a number"},
		{"127.0.0.1.", "", "hostile 2, 16: an address has no trailing dot"},
		{"fe80::1%eth0", "", "hostile 7: zone"},
		{"exa\x00mple.com", "", "hostile 20: NUL"},
		{"exa mple.com", "", "hostile 24: space"},
		{"exa\\mple.com", "", "hostile 24: backslash"},
		{"%65vil.com", "", "hostile 22: percent"},
		{"bücher.example", "", "hostile 21: U-label"},
		{"example。com", "", "hostile 21: full-width dot"},
		{"\u212aubernetes.example", "", "hostile 21: the Kelvin sign, which Unicode lowers to k"},
		{"g\u0130thub.example", "", "hostile 21: the dotted capital I, which Unicode lowers to i"},
		{"\uff45xample.com", "", "hostile 21: a full-width letter"},
		{"ex\u0430mple.com", "", "hostile 21: a Cyrillic a"},
		{"XN--BCHER-KVA.example", "xn--bcher-kva.example", "hostile 17, 21"},
		{"xn--fa-hia.example", "xn--fa-hia.example", "hostile 21: sharp s is itself, not ss"},
		{"xn--xn---epa.example", "", "hostile 21: a hidden prefix"},
		{"xn--.example", "", "hostile 21: nothing behind the prefix"},
		{"a--b.example", "a--b.example", "two hyphens say nothing without xn"},
		{"127.0.0.1\x00.example.com", "", "hostile 20: NUL"},
		{"example.com\n", "", "hostile 20: control"},
		{"example.com\x7f", "", "hostile 20: control"},
		{"127.0.0.0x1", "", "hostile 2: hexadecimal part"},
		{"127.0.0.01", "", "hostile 2: leading zero"},
		{"1.2.3", "", "hostile 2: three parts"},
		{"0x", "", "hostile 2: an empty hexadecimal number is 0"},
		{"256.1.1.1", "", "hostile 2: out of range"},
		{"0XA.0XB.0XC.0XD", "", "hostile 2: upper case"},
		{"::ffff:0x7f.1", "", "hostile 2, 3"},
		{"127.0.0.1.nip.io", "127.0.0.1.nip.io", "hostile 15: a name like any other, judged by its addresses"},
		{".example.com", "", "hostile 27: empty first label"},
		{strings.Repeat("a", 63) + ".com", strings.Repeat("a", 63) + ".com", "hostile 27: the longest label"},
		{"xn--a.example", "", "hostile 21: not an A-label"},
		{"xn--example-.com", "", "hostile 21: decodes to ASCII"},
		{"[example.com]", "", "hostile 18: a name in brackets"},
		{"-a.example", "", "hyphen"},
		{strings.Repeat("a", 64) + ".com", "", "hostile 27: label"},
		{strings.Repeat("abc.", 64) + "com", "", "hostile 27: name"},
		{"user@example.com", "", "hostile 23"},
	} {
		h, err := ParseHost(c.in)
		if got := h.String(); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("ParseHost(%q) = %q, %v; want %q (%s)", c.in, got, err, c.want, c.remark)
		}
	}
}

func TestParseAuthority(t *testing.T) {
	for _, c := range []struct{ in, want, remark string }{
		{"example.com", "example.com:443", ""},
		{"example.com:8443", "example.com:8443", ""},
		{"[::1]", "[::1]:443", ""},
		{"[2001:db8::1]:1", "[2001:db8::1]:1", ""},
		{"example.com:", "", "hostile 25: empty port"},
		{"example.com:0", "", "hostile 25"},
		{"example.com:65536", "", "hostile 25"},
		{"example.com:0443", "", "hostile 25: leading zero"},
		{"example.com:http", "", "hostile 25"},
		{"example.com:+1", "", "hostile 25: sign"},
		{"good.com@evil.com", "", "hostile 23: userinfo"},
		{"[fe80::1%25eth0]:443", "", "hostile 7: zone"},
		{"[example.com]:443", "", "hostile 18"},
		{"[127.0.0.1]:443", "", "hostile 18"},
		{"::1", "", "without brackets"},
		{"[::1", "", "half a bracket"},
		{"[::1]x:1", "", "text behind the bracket"},
		{"a b", "", "hostile 24"},
		{"a\tb", "", "hostile 24"},
		{"evil%2ecom", "", "hostile 22"},
		{"unix:/run/x.sock", "", "hostile 30"},
		{"example.com:65535", "example.com:65535", "hostile 25: the last port"},
		{"example.com:-1", "", "hostile 25: sign"},
		{"example.com: 443", "", "hostile 24, 25"},
		{"example.com:443:443", "", "hostile 25: two ports"},
		{"example.com:\uff14\uff14\uff13", "", "hostile 25: full-width digits"},
		{"[::1]:", "", "hostile 25: empty port"},
		{"[]:443", "", "hostile 18: nothing in brackets"},
		{"[[::1]]:443", "", "hostile 18"},
		{"[::ffff:127.0.0.1]:443", "127.0.0.1:443", "hostile 3"},
		{"good.com\\@evil.com", "", "hostile 23, 24"},
		{"good.com#@evil.com", "", "hostile 23"},
		{"", "", "empty"},
		{":443", "", "no host"},
	} {
		a, err := ParseAuthority(c.in, 443)
		var e *Error
		if got := a.String(); got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.As(err, &e) {
			t.Errorf("ParseAuthority(%q) = %q, %v; want %q (%s)", c.in, got, err, c.want, c.remark)
		}
	}
	var e *Error
	if _, err := ParseAddr("example.com"); !errors.As(err, &e) || e.Code != "port_invalid" {
		t.Error("ParseAddr without a port:", err)
	}
}

// What is refused is told without a byte of what was sent: the text may be shown.
func TestErrorsQuoteNothing(t *testing.T) {
	for _, s := range []string{"CANARY canary", "canary:CANARY", "canary@canary", "[canary]", "canary..", "xn--canary-"} {
		_, err := ParseAuthority(s, 443)
		var e *Error
		if !errors.As(err, &e) || e.Public == "" || strings.Contains(strings.ToLower(e.Error()), "canary") {
			t.Errorf("ParseAuthority(%q): %v", s, err)
		}
	}
}

func TestAuthority(t *testing.T) {
	for _, c := range []struct{ addr, scheme, want string }{
		{"example.com:443", "https", "example.com"},
		{"example.com:443", "http", "example.com:443"},
		{"example.com:80", "http", "example.com"},
		{"[2001:db8::1]:443", "https", "[2001:db8::1]"},
		{"[2001:db8::1]:8443", "https", "[2001:db8::1]:8443"},
	} {
		a, err := ParseAddr(c.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Authority(c.scheme); got != c.want {
			t.Errorf("%s as %s: %s, want %s", c.addr, c.scheme, got, c.want)
		}
	}
}

// hostile 19
func TestPatternMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, addr string
		want          bool
	}{
		{"allowed.com", "allowed.com:443", true},
		{"allowed.com", "allowed.com.evil.com:443", false},
		{"allowed.com", "evilallowed.com:443", false},
		{"allowed.com", "www.allowed.com:443", false},
		{"*.allowed.com", "www.allowed.com:443", true},
		{"*.allowed.com", "a.b.allowed.com:443", true},
		{"*.allowed.com", "allowed.com:443", false},
		{"*.allowed.com", "evilallowed.com:443", false},
		{"*.allowed.com", "www.allowed.com.evil.com:443", false},
		{"allowed.com:8443", "allowed.com:443", false},
		{"allowed.com:8443", "allowed.com:8443", true},
		{"2001:db8::1", "[2001:db8::1]:9", true},
		{"[2001:db8::1]:9", "[2001:db8::1]:8", false},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		a, err := ParseAddr(c.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(a); got != c.want {
			t.Errorf("%s matches %s: %v, want %v", c.pattern, c.addr, got, c.want)
		}
	}
	for _, bad := range []string{"", "*", "*.", "a.*.com", "*com", "**.com", "*.1.2.3.4", "http://x", "x:0"} {
		if p, err := ParsePattern(bad); err == nil {
			t.Errorf("ParsePattern(%q) = %v", bad, p)
		}
	}
	if (Pattern{}).Match(Addr{}) {
		t.Error("the zero Pattern matches")
	}
}

// hostile 11, 28, 29
func TestLocalNames(t *testing.T) {
	for name, want := range map[string]bool{"localhost": true, "a.localhost": true, "db": true, "x.internal": true, "printer.local": true,
		"x.default.svc.cluster.local": true, "example.com": false, "local.example.com": false, "home.arpa": true, "notlocalhost.example": false, "LOCALHOST.": true} {
		h, err := ParseHost(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := LocalHost(h); got != want {
			t.Errorf("LocalHost(%s) = %v", name, got)
		}
	}
	for name, want := range map[string]bool{"metadata.google.internal": true, "METADATA.google.internal.": true, "google.internal": false} {
		h, err := ParseHost(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := MetadataHost(h); got != want {
			t.Errorf("MetadataHost(%s) = %v", name, got)
		}
	}
}

func TestSuffixes(t *testing.T) {
	h, _ := ParseHost("api.github.co.uk")
	if got := strings.Join(h.Suffixes(), " "); got != "api.github.co.uk github.co.uk co.uk uk" {
		t.Error(got)
	}
	if got := h.RegisteredDomain(); got != "github.co.uk" {
		t.Error(got)
	}
	ip, _ := ParseHost("192.0.2.1")
	if got := strings.Join(ip.Suffixes(), " "); got != "192.0.2.1" {
		t.Error(got)
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"example.com", "xn--bcher-kva.example.", "1.2.3.4", "::1", "0x7f.1", "a_b.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHost(s)
		if err != nil {
			return
		}
		again, err := ParseHost(h.String())
		if err != nil || again != h {
			t.Fatalf("%q reads as %q, which reads as %q (%v)", s, h, again, err)
		}
	})
}

func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{"example.com:80", "*.example.com", "[::1]:1", "::1", "1.2.3.4"} {
		f.Add(s, "a.example.com:80")
	}
	f.Fuzz(func(t *testing.T, s, addr string) {
		p, err := ParsePattern(s)
		if err != nil {
			if p != (Pattern{}) {
				t.Fatalf("%q is refused and yet %v", s, p)
			}
			return
		}
		if again, err := ParsePattern(p.String()); err != nil || again != p {
			t.Fatalf("%q reads as %q, which reads as %q (%v)", s, p, again, err)
		}
		a, err := ParseAddr(addr)
		if err != nil || !p.Match(a) {
			return
		}
		if got := a.Host() == p.Host(); got == p.Wildcard() {
			t.Fatalf("%s matches %s", p, a)
		}
		if p.Wildcard() && !strings.HasSuffix(a.Host().String(), "."+p.Host().String()) {
			t.Fatalf("%s matches %s, which is not below it", p, a)
		}
	})
}
