package credentials

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
)

// hostile 361: messages that are compressed within a body that is not read as
// messages hide what they say. Nobody is asked for such, and none is passed on.
func TestScrubCodedMessages(t *testing.T) {
	body := grpcBody(t, "gzip", strings.Repeat("the token is ", 20)+canary)
	for name, c := range map[string]struct{ asked, answered, field string }{
		"gRPC-web in base64":         {"application/grpc-web-text", "application/grpc-web-text+proto", "Grpc-Encoding"},
		"gRPC to what asked for it":  {"application/json", "application/grpc", "Grpc-Encoding"},
		"gRPC that says it is none":  {"application/grpc", "application/octet-stream", "Grpc-Encoding"},
		"Connect":                    {"application/connect+proto", "application/connect+proto", "Connect-Content-Encoding"},
		"Connect that says gRPC too": {"application/grpc", "application/connect+json", "Connect-Content-Encoding"},
	} {
		g := grant(t, binding(t, "a", Place{Kind: Bearer}))
		ask := http.Header{"Content-Type": {c.asked}, "Grpc-Accept-Encoding": {"gzip"}, "Connect-Accept-Encoding": {"gzip"}}
		g.PrepareRequest(ask)
		if a, b := ask.Get("Grpc-Accept-Encoding"), ask.Get("Connect-Accept-Encoding"); a != "identity" || b != "identity" {
			t.Errorf("%s: asked for %q and %q", name, a, b)
		}
		said := body
		if c.asked == "application/grpc-web-text" {
			said = []byte(base64.StdEncoding.EncodeToString(body))
		}
		r, _, err := g.ScrubBody(io.NopCloser(bytes.NewReader(said)), http.Header{"Content-Type": {c.answered}, c.field: {"gzip"}})
		if err == nil {
			got, _ := io.ReadAll(r)
			t.Errorf("%s: passed on, as it came: %v", name, bytes.Equal(got, said))
		}
		for _, coding := range []string{"identity", ""} {
			if _, _, err := g.ScrubBody(io.NopCloser(bytes.NewReader(nil)), http.Header{"Content-Type": {c.answered}, c.field: {coding}}); err != nil {
				t.Errorf("%s, not compressed: %v", name, err)
			}
		}
	}
	plain := http.Header{"Content-Type": {"application/json"}}
	grant(t, binding(t, "a", Place{Kind: Bearer})).PrepareRequest(plain)
	if len(plain["Grpc-Accept-Encoding"])+len(plain["Connect-Accept-Encoding"]) > 0 {
		t.Errorf("a request that is none of these is given fields: %v", plain)
	}
}
