package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
	"sallyport/origin/calls"
)

// buildCaller puts the gRPC client into the working directory.
func (p *place) buildCaller() {
	p.t.Helper()
	at := filepath.Join(filepath.Dir(binary), "caller")
	if _, err := os.Stat(at); err != nil {
		build := exec.Command("go", "build", "-o", at, "sallyport/origin/calls/caller")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			p.t.Fatalf("%s%v", out, err)
		}
	}
	b, err := os.ReadFile(at)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "caller"), b, 0o755); err != nil {
		p.t.Fatal(err)
	}
}

// allShapes fails the test unless the caller said ok for each shape.
func allShapes(t *testing.T, out output) {
	t.Helper()
	for _, s := range calls.Shapes {
		if !strings.Contains(out.stdout, s+" ok\n") {
			t.Errorf("%s failed: %+v", s, out)
		}
	}
}

// gRPC in every shape through opened TLS: with a credential, and without; what is
// given up in the client is given up at the origin.
func TestGRPC(t *testing.T) {
	svc := calls.New()
	defer svc.Stop()
	each(t, origin.Options{Handler: svc}, func(t *testing.T, p *place) {
		p.buildCaller()
		at := p.at("api.example.com")
		for name, flags := range map[string][]string{"": nil, "with a credential": {"--credential", "api=env:API_TOKEN@https://" + at}} {
			t.Run(name, func(t *testing.T) {
				p.t, p.env = t, append(p.env, "API_TOKEN=canary-0123456789abcdef")
				before := svc.Canceled.Load()
				allShapes(t, p.run(append(flags, "--allow", at), "./caller", at))
				until(t, "the origin to be told of what was given up", func() bool { return svc.Canceled.Load() >= before+2 })
			})
		}
		p.t = t
		out := p.run([]string{"--allow", at}, "./caller", p.at("other.example.com"), "unary", "first", "server")
		for _, s := range []string{"unary", "first", "server"} {
			if !strings.Contains(out.stdout, s+" PermissionDenied: ") || strings.Count(out.stdout, "sallyport: default_deny: no rule allows this (decision ") != 3 || strings.Count(out.stdout, "[sallyport default_deny]") != 3 {
				t.Errorf("%+v", out)
			}
		}
		p.verified()
	})
}

// hostile 92: what a gRPC server takes for a method is what the policy saw, or
// nothing arrives.
func TestGRPCPaths(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{})
	pol := filepath.Join(filepath.Dir(p.dir), "policy")
	_ = os.Mkdir(pol, 0o755)
	_ = os.WriteFile(filepath.Join(pol, "p.rego"), []byte("package egress\n\nallow if input.request.grpc == {\"service\": \"shop.v1.Orders\", \"method\": \"Get\"}\n"), 0o644)
	type request struct{ method, path, contentType, want string }
	const arrives = `"Method":"POST"`
	var script strings.Builder
	cases := map[string]request{}
	for name, c := range map[string]request{
		"as it is":            {"POST", "/shop.v1.Orders/Get", "application/grpc", arrives},
		"with a format":       {"POST", "/shop.v1.Orders/Get", "application/grpc+proto", arrives},
		"in capitals":         {"POST", "/shop.v1.Orders/Get", "Application/GRPC; x=y", arrives},
		"web":                 {"POST", "/shop.v1.Orders/Get", "application/grpc-web+proto", arrives},
		"web in text":         {"POST", "/shop.v1.Orders/Get", "application/grpc-web-text", arrives},
		"another method":      {"POST", "/shop.v1.Orders/Delete", "application/grpc", "default_deny"},
		"reflection":          {"POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "application/grpc", "default_deny"},
		"not gRPC":            {"POST", "/shop.v1.Orders/Get", "application/json", "default_deny"},
		"almost gRPC":         {"POST", "/shop.v1.Orders/Get", "application/grpcx", "default_deny"},
		"a list":              {"POST", "/shop.v1.Orders/Get", "application/grpc, application/json", "default_deny"},
		"a GET":               {"GET", "/shop.v1.Orders/Get", "application/grpc", "grpc_invalid"},
		"encoded":             {"POST", "/shop.v1.Orders/G%65t", "application/grpc", "grpc_invalid"},
		"a slash encoded":     {"POST", "/shop.v1.Orders%2FGet", "application/grpc", "grpc_invalid"},
		"two slashes":         {"POST", "//shop.v1.Orders/Get", "application/grpc", "grpc_invalid"},
		"a third slash":       {"POST", "/shop.v1.Orders/Get/", "application/grpc", "grpc_invalid"},
		"below a prefix":      {"POST", "/api/shop.v1.Orders/Get", "application/grpc-web", "grpc_invalid"},
		"no method":           {"POST", "/shop.v1.Orders", "application/grpc", "grpc_invalid"},
		"a semicolon":         {"POST", "/shop.v1.Orders/Get;x", "application/grpc", "grpc_invalid"},
		"a query":             {"POST", "/shop.v1.Orders/Get?x=1", "application/grpc", "grpc_invalid"},
		"fields in the query": {"POST", "/shop.v1.Orders/Get?%24httpHeaders=a%3Ab", "application/grpc-web", "grpc_invalid"},
		"an empty query":      {"POST", "/shop.v1.Orders/Get?", "application/grpc", "grpc_invalid"},
	} {
		cases[name] = c
		for _, v := range []string{"1.1", "2"} {
			fmt.Fprintf(&script, "echo '== %s %s'; curl -sS -i --http%s --path-as-is -g -X %s -H 'Content-Type: %s' --data-binary @m -w ' %%{http_code} ' '%s'\n", name, v, v, c.method, c.contentType, p.https("api.example.com", c.path))
		}
	}
	if err := os.WriteFile(filepath.Join(p.dir, "m"), make([]byte, 5), 0o644); err != nil { // an empty message
		t.Fatal(err)
	}
	out := p.sh([]string{"--policy", pol}, script.String())
	arrived := 0
	for answer := range strings.SplitSeq(out.stdout, "== ") {
		name, text, _ := strings.Cut(answer, "\n")
		if name == "" {
			continue
		}
		c := cases[name[:strings.LastIndexByte(name, ' ')]]
		if !strings.Contains(text, c.want) || strings.Contains(text, "sallyport: ") == (c.want == arrives) {
			t.Errorf("%s: %q is not in %s", name, c.want, text)
		}
		if c.want == arrives {
			arrived++
		}
		delete(cases, name[:max(strings.LastIndex(name, " 2"), 0)])
	}
	if len(cases) != 0 || len(p.origin.Seen()) != arrived || arrived != 10 {
		t.Errorf("%d arrived, %d should have; no answer to %v; %s", len(p.origin.Seen()), arrived, cases, out.stderr)
	}
}

// A stream that a change ends tells its client so: it is never a clean end.
func TestGRPCIsEndedByAChange(t *testing.T) {
	svc := calls.New()
	defer svc.Stop()
	p := newPlace(t, callers()[0], origin.Options{Handler: svc})
	p.buildCaller()
	s := p.sidecar(t, "")
	for how, want := range map[string]string{"revoke": "[sallyport revoked]", "pause": "[sallyport paused]"} {
		name := "g-" + how
		b := p.spawn(t, binary, "run", "--sidecar", s.control, "--name", name, "--label", "team=web", "--prop", "tenant=t", "--policy", "web", "--", "./caller", "-until-cut", p.at("api.example.com"))
		b.until("reading")
		if out := p.exec("sandbox", how, name, "--control", s.control); out.code != 0 {
			t.Fatalf("%+v", out)
		}
		b.until("ended: PermissionDenied: ")
		b.until(want)
	}
	s.stop()
	if n := len(p.find(map[string]string{"event.name": "egress.request.complete", "url.path": fmt.Sprintf("/%s/Count", calls.Name), "event.outcome": "failure"})); n != 2 {
		t.Errorf("%d outcomes", n)
	}
}
