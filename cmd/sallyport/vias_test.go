package main

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
)

// gateway starts the example of docs/gateway.
func (p *place) gateway(t *testing.T, key string, more ...string) (at string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "gateway")
	if out, err := exec.Command("go", append(append([]string{"build", "-o", bin}, strings.Fields(os.Getenv("SALLYPORT_BUILD_FLAGS"))...), "../../docs/gateway")...).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	for d := filepath.Dir(bin); d != os.TempDir(); d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	b := p.spawn(t, append([]string{bin, "-listen", "127.0.0.1:0", "-key", key}, more...)...)
	b.until("listening on ")
	_, at, _ = strings.Cut(strings.TrimSpace(b.out.String()), "listening on ")
	return at
}

// A service of the operator's own gets what a sandbox sends to a destination,
// can verify whose it is, and gets no credential unless that is said: hostile
// 226 to 228.
func TestSidecarVia(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{})
	dir := t.TempDir()
	key := filepath.Join(dir, "via.key")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(key, strings.Repeat("0123456789abcdef", 4)+"\n")
	root := certify(t, dir, "corp-ca", nil, authority)
	server := certify(t, dir, "gateway.corp", root, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"gateway.corp"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	secure := p.gateway(t, key, "-cert", server.crt, "-cert-key", server.pkey)
	plain := p.gateway(t, key)
	var seen atomic.Pointer[http.Request] // as the service got it
	tap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Clone(t.Context()))
		fmt.Fprint(w, "tapped ", r.Header["Authorization"])
	}))
	defer tap.Close()
	one, two := freePort(t), freePort(t)
	p.env = append(p.env, "ONE="+tokenOne, "TWO="+tokenTwo)
	s := p.sidecar(t, fmt.Sprintf(`sandboxes:
  - name: one
    mode: sealed
    labels: {team: web}
    props: {tenant: t-1}
    policy: [web]
    explicit: {listen: "127.0.0.1:%d", token: "env:ONE"}
    via: [{match: "*.example.com", to: "%s/gw", key: "file:%s"}]
  - name: two
    labels: {team: web}
    props: {tenant: t-2}
    policy: [web]
    explicit: {listen: "127.0.0.1:%d", token: "env:TWO"}
    via: [{match: api.example.com, to: "https://%s", key: "file:%[3]s", credentials: true, tls: {ca: %[6]s, server_name: gateway.corp}}]
`, one, tap.URL, key, two, secure, root.crt))
	own := filepath.Join(dir, "own.pem")
	write(own, p.exec("ca", "export", "--control", s.control).stdout)
	curl := func(token string, port int, args ...string) string {
		return outside(t, nil, append([]string{"curl", "-sS", "-m", "10", "--cacert", own, "-x", fmt.Sprintf("http://x:%s@127.0.0.1:%d", token, port)}, args...)...)
	}
	u := p.https("api.example.com", "/a%2Fb/c?x=1&y=%20")
	forged := []string{"-H", "Sallyport-Context: :eyJ2IjoxfQ==:", "-H", "Authorization: Bearer mine", "-H", "Signature: sallyport=:AAAA:", "-H", "Forwarded: host=evil.example"}
	if out := curl(tokenOne, one, append(forged, u)...); out != "tapped []" {
		t.Fatalf("%s", out)
	}
	// What the service got holds once, as it is, and never otherwise.
	send := func(change func(*http.Request) string) string {
		t.Helper()
		last := seen.Load()
		req, err := http.NewRequest(last.Method, "http://"+plain+last.RequestURI, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host, req.Header = last.Host, last.Header.Clone()
		if body := change(req); body != "" {
			req.Body = io.NopCloser(strings.NewReader(body))
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(resp.StatusCode, " ", string(b))
	}
	for name, change := range map[string]func(*http.Request) string{
		"another method":    func(r *http.Request) string { r.Method = "DELETE"; return "" },
		"another path":      func(r *http.Request) string { r.URL.Opaque = "/gw/other"; return "" },
		"another query":     func(r *http.Request) string { r.URL.RawQuery = "x=2"; return "" },
		"another authority": func(r *http.Request) string { r.Host = "evil.example"; return "" },
		"a body":            func(*http.Request) string { return "more" },
		"another context": func(r *http.Request) string {
			r.Header.Set("Sallyport-Context", ":"+strings.Repeat("e30K", 4)+":")
			return ""
		},
		"another destination": func(r *http.Request) string { r.Header.Set("Forwarded", `host="evil.example";proto=https`); return "" },
		"fewer parts": func(r *http.Request) string {
			r.Header.Set("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), ` "@query"`, "", 1))
			return ""
		},
		"an older time": func(r *http.Request) string {
			r.Header.Set("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), "created=1", "created=2", 1))
			return ""
		},
		"no signature": func(r *http.Request) string { r.Header.Del("Signature"); return "" },
	} {
		if got := send(change); !strings.HasPrefix(got, "401 not verified") {
			t.Errorf("%s: %s", name, got)
		}
	}
	asIs := func(*http.Request) string { return "" }
	got := send(asIs)
	for _, want := range []string{"200 ", `"verified":true`, `"name":"one"`, `"labels":{"team":"web"}`, `"props":{"tenant":"t-1"}`, fmt.Sprintf(`"destination":{"scheme":"https","host":"api.example.com","port":%d}`, p.origin.TLSPort),
		fmt.Sprintf(`"forwarded":"host=\"%s\";proto=https"`, p.at("api.example.com")), `"path":"/gw/a%2Fb/c"`, `"authorization":""`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nhas no %s", got, want)
		}
	}
	if again := send(asIs); !strings.Contains(again, "used before") {
		t.Errorf("the same once more: %s", again)
	}
	// Nothing goes there that policy does not allow, and nothing else exists.
	seen.Store(nil)
	for url, want := range map[string]string{p.https("other.example.com", "/"): "default_deny", tap.URL + "/gw/x": "sealed", "https://elsewhere.test/": "sealed"} {
		if out := curl(tokenOne, one, url); !strings.Contains(out, want) || seen.Load() != nil {
			t.Errorf("%s: %s, the service got %v", url, out, seen.Load())
		}
	}
	// Where it is said, the service gets the credential, over TLS; what it tells of it is taken out.
	if out := curl(tokenTwo, two, u); !strings.Contains(out, `"name":"two"`) || !strings.Contains(out, `"authorization":"Bearer [REDACTED:api]"`) || strings.Contains(out, canary) {
		t.Errorf("%s", out)
	}
	if n := len(p.origin.Seen()); n != 0 {
		t.Errorf("the origin saw %d requests", n)
	}
	sb, err := admin.NewClient(s.control).Get(t.Context(), "one")
	if err != nil || len(sb.Via) != 1 || sb.Via[0].Match != "*.example.com" || sb.Via[0].To != tap.URL+"/gw" {
		t.Errorf("%+v %v", sb, err)
	}
	// A new key signs what comes then.
	write(key, strings.Repeat("fedcba9876543210", 4)+"\n")
	_ = s.b.cmd.Process.Signal(unix.SIGHUP)
	until(t, "a new key", func() bool {
		_ = curl(tokenOne, one, u)
		last := seen.Load()
		return last != nil && !strings.Contains(last.Header.Get("Signature-Input"), sb.Via[0].Key)
	})
	if got := send(asIs); !strings.Contains(got, "the signature does not hold") {
		t.Errorf("with a new key: %s", got)
	}
	s.stop()
	if e := p.find(map[string]string{"event.name": "egress.request.complete", "server.via": tap.URL, "sandbox.name": "one"}); len(e) < 2 || !strings.Contains(fmt.Sprint(e[0].Fields["credential.uses"]), "withheld") {
		t.Errorf("%v", e)
	}
	if log := fmt.Sprint(p.records()) + s.b.out.String(); strings.Contains(log, "0123456789abcdef0123") || bytes.Contains([]byte(log), []byte(canary)) {
		t.Error("a key or a secret is told")
	}
}

// What is wrong with a via stands at its place.
func TestWrongVias(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	dir := t.TempDir()
	for name, text := range map[string]string{"good.key": strings.Repeat("k", 32), "short.key": "short"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good = `match: "*.a.example", to: "https://gw.corp", key: "file:good.key"`
	for text, want := range map[string]string{
		strings.Replace(good, "*.a", "a.*.b", 1):                              `3:19: sandboxes[0].via[0].match: a * stands only at the beginning`,
		strings.Replace(good, "https://gw.corp", "gw.corp:9000", 1):           `sandboxes[0].via[0].to: expected http(s)://HOST[:PORT][/PREFIX]`,
		strings.Replace(good, "gw.corp", "a b", 1):                            `sandboxes[0].via[0]: `,
		strings.Replace(good, "gw.corp", "gw.corp/?x=1", 1):                   `a target has no user, query or fragment`,
		strings.Replace(good, "good.key", "short.key", 1):                     `sandboxes[0].via[0].key: the key has fewer than 32 characters`,
		strings.Replace(good, "good.key", "none.key", 1):                      `none.key: no such file`,
		strings.Replace(good, "file:good.key", strings.Repeat("k", 32), 1):    `via[0].key: expected env:VARIABLE or file:PATH`,
		strings.Replace(good, "https", "http", 1) + ", credentials: true":     `via[0].credentials: a credential goes over https only`,
		strings.Replace(good, "https", "http", 1) + ", tls: {server_name: x}": `TLS settings are for a target of https`,
		good + "}, {" + good: `sandboxes[0].via[1].match: via[0] has it already`,
	} {
		f := filepath.Join(dir, "s.yaml")
		if err := os.WriteFile(f, []byte("sandboxes:\n  - name: a\n    via: [{"+text+"}]\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := p.exec("config", "check", f); out.code != 1 || !strings.Contains(out.stdout, want) || strings.Contains(out.stdout, "kkkkkk") {
			t.Errorf("%s\n%s\nwant %s", text, out.stdout, want)
		}
	}
}
