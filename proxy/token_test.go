package proxy

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// What a client shows is read in one way or not at all.
func FuzzProxyToken(f *testing.F) {
	f.Add("Basic eDp5", "x", "y")
	f.Add("Bearer a b", "", ":")
	f.Fuzz(func(t *testing.T, raw, user, password string) {
		if digest, some := proxyToken(http.Header{"Proxy-Authorization": {raw}}); some {
			scheme, rest, _ := strings.Cut(raw, " ")
			switch strings.ToLower(scheme) {
			case "bearer":
				if digest != sha256.Sum256([]byte(strings.TrimLeft(rest, " "))) {
					t.Errorf("%q", raw)
				}
			case "basic":
				b, err := base64.StdEncoding.DecodeString(strings.TrimLeft(rest, " "))
				if err != nil || !strings.Contains(string(b), ":") {
					t.Errorf("%q", raw)
				}
			default:
				t.Errorf("%q shows something", raw)
			}
		}
		if strings.Contains(user, ":") || password == "" {
			return
		}
		h := http.Header{"Proxy-Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}
		if digest, some := proxyToken(h); !some || digest != sha256.Sum256([]byte(password)) {
			t.Errorf("%q %q", user, password)
		}
		h["Proxy-Authorization"] = append(h["Proxy-Authorization"], raw)
		if _, some := proxyToken(h); some {
			t.Error("two are shown")
		}
	})
}

// However many sources guess, as few are kept, and those beyond share one budget.
func TestStrangersAreBounded(t *testing.T) {
	s := newStrangers()
	a := netip.MustParseAddr("10.0.0.0")
	over := 0
	for range guessSources + 100 {
		a = a.Next()
		if _, ok := s.guess(a); !ok {
			over++
		}
	}
	if len(s.guesses) != guessSources || over != 100-guessBurst {
		t.Errorf("%d sources are kept apart, %d guesses were too many", len(s.guesses), over)
	}
	refund, ok := s.guess(netip.MustParseAddr("10.0.0.1"))
	if !ok {
		t.Fatal("one that is kept apart may not guess")
	}
	refund()
	refund, ok = newStrangers().guess(a)
	if refund(); !ok {
		t.Error("the first guess is one too many")
	}
}
