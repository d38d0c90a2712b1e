package admin

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"
)

// What is taken for a token is all that one field says behind the scheme.
func FuzzBearer(f *testing.F) {
	f.Add("Bearer abc", "", false)
	f.Add("bearer  abc", "Bearer abc", true)
	f.Add("Basic abc", "x", false)
	known := &Remote{Tokens: [][sha256.Size]byte{sha256.Sum256([]byte("another")), sha256.Sum256([]byte("the token"))}}
	f.Fuzz(func(t *testing.T, one, two string, both bool) {
		h := http.Header{"Authorization": {one}}
		if both {
			h["Authorization"] = append(h["Authorization"], two)
		}
		token, ok := bearer(h)
		if ok && (both || len(one) != len("Bearer ")+len(token) || !strings.EqualFold(one[:7], "Bearer ") || one[7:] != token || token == "") {
			t.Errorf("%q: %q", h, token)
		}
		if got := known.knows(sha256.Sum256([]byte(token))); got != (token == "the token" || token == "another") {
			t.Errorf("%q is taken", token)
		}
	})
}
