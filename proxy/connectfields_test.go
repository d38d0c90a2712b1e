package proxy

import (
	"net/http"
	"testing"

	"sallyport/dest"
)

// hostile 68: whatever the server below lets through, a CONNECT of HTTP/2 names one target.
func TestConnectFields(t *testing.T) {
	to, err := dest.ParseAddr("api.example.com:8443")
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"api.example.com:8443":   "",
		"API.Example.com:8443":   "",
		"api.example.com":        "",
		"api.example.com:443":    "authority_contradiction",
		"other.example.com:8443": "authority_contradiction",
		"x@api.example.com:8443": "authority_contradiction",
		"":                       "authority_contradiction",
	} {
		got := ""
		if ref := connectFields(&http.Request{Header: http.Header{"Host": {host}}}, to); ref != nil {
			got = ref.Code
		}
		if got != want {
			t.Errorf("Host %q: %q, want %q", host, got, want)
		}
	}
	two := http.Header{"Host": {"api.example.com:8443", "other.example.com:8443"}}
	if ref := connectFields(&http.Request{Header: two}, to); ref == nil {
		t.Error("two fields Host are one")
	}
}
