package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
	"sallyport/origin/calls"
)

// HTTP/2 without TLS: gRPC of every shape by name, what is not allowed refused with
// a status, and hostile 65: an upgrade to it is no upgrade.
func TestH2C(t *testing.T) {
	tool(t, "curl", "curl")
	svc := calls.New()
	defer svc.Stop()
	each(t, origin.Options{Handler: svc, H2C: true}, func(t *testing.T, p *place) {
		p.buildCaller()
		at := func(host string) string { return fmt.Sprintf("%s:%d", host, p.origin.PlainPort) }
		allShapes(t, p.run([]string{"--allow", at("api.example.com")}, "./caller", "-plain", at("api.example.com")))
		out := p.run([]string{"--allow", at("api.example.com")}, "./caller", "-plain", at("other.example.com"), "unary", "first")
		if strings.Count(out.stdout, "PermissionDenied: ") < 2 || strings.Count(out.stdout, "[sallyport default_deny]") != 2 {
			t.Errorf("%+v", out)
		}
		// A name that is bound to a service without TLS carries gRPC as well, over TLS inside.
		bound := p.run([]string{"--bind", fmt.Sprintf("calls.internal=http://127.0.0.1:%d", p.origin.PlainPort)}, "./caller", "calls.internal:443", "unary", "first")
		if strings.Count(bound.stdout, " ok\n") != 2 {
			t.Errorf("%+v", bound)
		}
		p.verified()
	})
}

// The protocol of a request without TLS is what it is, to the policy and to the
// origin.
func TestH2CIsDecided(t *testing.T) {
	tool(t, "curl", "curl")
	for _, spoken := range []bool{true, false} {
		p := newPlace(t, callers()[0], origin.Options{H2C: spoken})
		pol := filepath.Join(filepath.Dir(p.dir), "policy")
		_ = os.Mkdir(pol, 0o755)
		_ = os.WriteFile(filepath.Join(pol, "p.rego"), []byte(`package egress

allow if {
	input.destination.protocol == "h2c"
	input.destination.scheme == "http"
	input.request.path == "/h2c"
}

allow if {
	input.destination.protocol == "http/1.1"
	input.request.path == "/h1"
}
`), 0o644)
		script := ""
		for _, path := range []string{"/h2c", "/h1"} {
			for _, v := range []string{"--http2-prior-knowledge", "--http2", "--http1.1"} {
				script += fmt.Sprintf("echo '== %s %s'; curl -sS %s -d x %s\n", path, v, v, p.http("api.example.com", path))
			}
		}
		out := p.sh([]string{"--policy", pol}, script)
		said := map[string]string{}
		for a := range strings.SplitSeq(out.stdout, "== ") {
			k, v, _ := strings.Cut(a, "\n")
			said[k] = v
		}
		wants := map[string]string{
			"/h2c --http2-prior-knowledge": `"Proto":"HTTP/2.0"`, "/h2c --http2": "default_deny", "/h2c --http1.1": "default_deny",
			"/h1 --http2-prior-knowledge": "default_deny", "/h1 --http2": `"Proto":"HTTP/1.1"`, "/h1 --http1.1": `"Proto":"HTTP/1.1"`,
		}
		if !spoken {
			wants["/h2c --http2-prior-knowledge"] = "h2c_failed: the destination does not speak HTTP/2 without TLS"
		}
		for k, want := range wants {
			if !strings.Contains(said[k], want) {
				t.Errorf("spoken %v: %s: %q is not in %q; %s", spoken, k, want, said[k], out.stderr)
			}
		}
		for _, s := range p.origin.Seen() {
			if s.Header.Get("Upgrade") != "" || s.Header.Get("Http2-Settings") != "" {
				t.Errorf("the origin was asked to upgrade: %+v", s)
			}
		}
		p.verified()
	}
}
