package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/origin"
	"sallyport/origin/bundles"
)

// A publisher is a server of signed bundles, and a sidecar that asks it.
type publisher struct {
	*side
	server *bundles.Server
	key    *bundles.Key
	dir    string // with what the configuration names
}

// published starts a sidecar with a policy that is published, for one sandbox with
// an explicit proxy. more goes into what is said of the policy.
func published(t *testing.T, p *place, more string, before func(*publisher)) *publisher {
	t.Helper()
	base := filepath.Dir(p.dir)
	u := &publisher{side: &side{place: p, config: filepath.Join(base, "sallyport.yaml"), control: filepath.Join(base, "run", "control.sock")}, server: bundles.Serve(), key: bundles.NewKey(), dir: filepath.Join(base, "conf")}
	t.Cleanup(u.server.Down)
	for _, d := range []string{"state", "run", "conf"} {
		if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
		if p.who.uid != 0 {
			_ = os.Chown(filepath.Join(base, d), p.who.uid, p.who.uid)
		}
	}
	written(t, filepath.Join(u.dir, "ca.pem"), []byte(u.server.CA))
	written(t, filepath.Join(u.dir, "key.pem"), []byte(u.key.Public))
	written(t, filepath.Join(u.dir, "token"), []byte("token-of-the-sidecar\n"))
	written(t, u.config, fmt.Appendf(nil, `state: %[1]s/state/ca
control: {socket: %[2]s}
audit: {dir: %[3]s}
policies:
  - name: web
    url: %[4]s
    ca: conf/ca.pem
    token: file:conf/token
    verify: {key: "file:conf/key.pem", algorithm: ES256}
    poll: {min: 40ms, max: 60ms, timeout: 1s}
    max_size: 1MiB
%[5]sdefault_policy: [web]
network:
  allow_private: [127.0.0.0/8]
  upstream_ca: [%[6]s]
  resolve: {api.example.com: 127.0.0.1, other.example.com: 127.0.0.1}
drain_timeout: 1s
sandboxes:
  - {name: one, explicit: {socket: %[1]s/run/one.sock, user: %[7]d}}
`, base, u.control, p.log, u.server.URL("/web.tar.gz"), more, p.ca, os.Getuid()))
	if before != nil {
		before(u)
	}
	u.begun()
	return u
}

// begun starts serve, and waits until it answers.
func (u *publisher) begun() {
	u.t.Helper()
	u.asked = nil
	u.b = u.spawn(u.t, binary, "serve", "-c", u.config)
	u.until("it does not answer", func() bool { _, err := u.told(); return err == nil })
}

// version is a bundle that lets one host pass.
func (u *publisher) version(revision, host string) bundles.Files {
	return bundles.Files{"p.rego": fmt.Sprintf("package egress\n\nallow if input.destination.host == %q\n", host), ".manifest": fmt.Sprintf(`{"revision": %q}`, revision)}
}

// publish signs files and publishes them.
func (u *publisher) publish(f bundles.Files, tag string) {
	u.server.Publish(u.key.Sign(f, "k", "").Pack(), tag)
}

// allowed asks through the sandbox's proxy: whether it may, or how it may not.
func (u *publisher) allowed(host string) string {
	u.t.Helper()
	st, err := u.told()
	if err != nil {
		u.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(st.CA))
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy"}), TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(filepath.Dir(u.dir), "run", "one.sock"))
		}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(u.t.Context(), http.MethodGet, u.https(host, "/"), nil)
	if err != nil {
		u.t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode == 200 {
		return "yes"
	}
	return strings.TrimSpace(string(b))
}

// in is whether a revision is in force, and only that.
func (u *publisher) in(revision, host, not string) string {
	if p := u.policy("web"); p.Revision != revision || u.allowed(host) != "yes" || !strings.Contains(u.allowed(not), "default_deny") {
		return fmt.Sprintf("revision %s; %s: %s; %s: %s", p.Revision, host, u.allowed(host), not, u.allowed(not))
	}
	return ""
}

// told of a bundle by its code.
func (u *publisher) code() string {
	if b := u.policy("web").Bundle; b != nil {
		return b.Code
	}
	return "nothing is said of it"
}

// hostile 85, 87, 400 to 406: whatever a server of bundles does, what was good before
// stays in force, the state says what is wrong, and so does the log; then what is
// good again is taken.
func TestServerOfBundles(t *testing.T) {
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	u := published(t, p, "", func(u *publisher) { u.publish(u.version("10", "api.example.com"), `"10"`) })
	u.until("the first is not taken", func() bool { return u.policy("web").Revision == "10" })
	thief := bundles.Serve()
	defer thief.Down()
	thief.Publish([]byte("x"), "")
	other := u.version("11", "other.example.com")
	signed := u.key.Sign(other, "k", "")
	whole := signed.Pack()
	give := func(b []byte) func() { return func() { u.server.Publish(b, `"new"`) } }
	how := func(h http.HandlerFunc) func() { return func() { u.server.Wrong(h) } }
	rows := []struct {
		name, code, want string
		do               func()
	}{
		{"down", "unreachable", "refused", u.server.Down},
		{"hanging", "timeout", "too long", how(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })},
		{"slow", "timeout", "too long", how(func(w http.ResponseWriter, r *http.Request) {
			for i := 0; r.Context().Err() == nil; i++ {
				_, _ = w.Write(whole[i%len(whole) : i%len(whole)+1])
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		})},
		{"failing", "http_status", "500", how(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "canary-of-the-server", 500) })},
		{"a page", "not_a_bundle", "text/html", how(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>canary-of-the-server</html>")
		})},
		{"a wrong length", "unreachable", "broke off", how(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(whole)+7))
			_, _ = w.Write(whole)
		})},
		{"a cut archive", "not_a_bundle", "unexpected EOF", give(whole[:len(whole)-20])},
		{"a bomb", "not_a_bundle", "larger than 1048576", give(zeros(t, 64<<20))},
		{"too long", "too_large", "larger than 1048576", give(append(bytes.Clone(whole), make([]byte, 1<<20)...))},
		{"unsigned", "signature", "there is no .signatures.json", give(other.Pack())},
		{"signed by another", "signature", "failed to verify", give(bundles.NewKey().Sign(other, "k", "").Pack())},
		{"changed", "signature", "digest mismatch", give(signed.With("p.rego", "package egress\n\nallow := true\n").Pack())},
		{"a file more", "signature", "not included", give(signed.With("q.rego", "package egress\n\nwebsocket := true\n").Pack())},
		{"a file less", "signature", "missing: .manifest", give(signed.With(".manifest", "").Pack())},
		{"a delta", "not_a_bundle", "delta", give(bundles.Files{"patch.json": `{"data": []}`}.Pack())},
		{"older", "rollback", "revision 9 is older than revision 10", func() { u.publish(u.version("9", "other.example.com"), `"9"`) }},
		{"the same revision", "rollback", "with other content", func() { u.publish(u.version("10", "other.example.com"), `"10b"`) }},
		{"of no revision", "rollback", "cannot be compared", func() { u.publish(u.version("", "other.example.com"), `"11"`) }},
		{"elsewhere", "redirect", "not over TLS", how(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		})},
		{"to a stranger", "unreachable", "certificate", how(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL("/"), http.StatusFound) })},
		{"in circles", "redirect", "more than 5 times", how(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })},
		{"a mistake", "policy", "web/p.rego:3:10: there is no input.request.metod", func() {
			u.publish(other.With("p.rego", "package egress\n\nallow if input.request.metod == \"GET\"\n"), `"11"`)
		}},
		{"a credential that there is not", "unfit", `credential "x"`, func() {
			u.publish(other.With("p.rego", "package egress\n\nallow := true\n\ncredentials contains \"x\"\n"), `"11"`)
		}},
		{"a property that one lacks", "unfit", `property "tenant"`, func() {
			u.publish(other.With("p.rego", "package egress\n\nallow := true\n\nrequires_props contains \"tenant\"\n"), `"11"`)
		}},
	}
	for _, c := range rows {
		c.do()
		u.until(c.name+" is not seen", func() bool { return u.code() == c.code })
		b := u.policy("web").Bundle
		if !strings.Contains(b.Message, c.want) || !strings.Contains(u.reasons(), "policy web: revision 10 stays in force: "+b.Message) {
			t.Errorf("%s: %q, and %q; expected %q", c.name, b.Message, u.reasons(), c.want)
		}
		if wrong := u.in("10", "api.example.com", "other.example.com"); wrong != "" {
			t.Errorf("%s: %s", c.name, wrong)
		}
		if st, err := u.told(); err != nil || !st.Ready {
			t.Errorf("%s: not ready: %v", c.name, err)
		}
		if c.code == "policy" && (len(b.Errors) != 1 || b.Errors[0].Row != 3 || b.Errors[0].File != "web/p.rego") {
			t.Errorf("%+v", b.Errors)
		}
		if c.name == "down" {
			u.server.Up()
		}
		u.publish(u.version("10", "api.example.com"), `"10"`)
		u.until("what is good is not seen behind "+c.name, func() bool { return u.code() == "" })
	}
	// What fits is taken; what was in force before it is told by the log.
	u.publish(u.version("11", "other.example.com"), `"11"`)
	u.until("the newer one is not taken", func() bool { return u.policy("web").Revision == "11" })
	if wrong := u.in("11", "other.example.com", "api.example.com"); wrong != "" {
		t.Error(wrong)
	}
	for _, r := range u.server.Seen() {
		if r.Header.Get("Authorization") != "Bearer token-of-the-sidecar" {
			t.Fatalf("asked without its token: %v", r.Header)
		}
	}
	for _, r := range thief.Seen() {
		t.Errorf("the thief sees %v", r.Header)
	}
	u.stop()
	u.verified()
	codes := map[string]int{}
	for _, e := range u.find(map[string]string{"event.name": "egress.policy.refused"}) {
		codes[e.Str("detail.code")]++
		if strings.Contains(string(e.Line), "canary-of-the-server") || strings.Contains(string(e.Line), "token-of-the-sidecar") {
			t.Errorf("%s", e.Line)
		}
	}
	want := map[string]int{}
	for _, c := range rows {
		want[c.code]++
	}
	for code, n := range want {
		if codes[code] < n {
			t.Errorf("%d of %d were recorded with %s: %v", codes[code], n, code, codes)
		}
	}
	if n := len(u.find(map[string]string{"event.name": "egress.policy.loaded", "detail.revision": "11", "detail.source": u.server.URL("/web.tar.gz")})); n < 1 {
		t.Error("the newer one was not recorded")
	}
}

// zeros is a bundle of one file of zeros.
func zeros(t *testing.T, n int) []byte {
	t.Helper()
	return bundles.Files{"data.json": strings.Repeat("\x00", n)}.Pack()
}

// hostile 85: without a good bundle serve is up, and says that it is not ready;
// nothing passes. What was good is kept over a restart, and judged again.
func TestColdStart(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		u := published(t, p, "", func(u *publisher) { u.server.Down() })
		u.until("it is not seen", func() bool { return u.code() == "unreachable" })
		cold := func(what string) {
			t.Helper()
			st, err := u.told()
			if err != nil || st.Ready || !strings.Contains(u.reasons(), "policy web: there is no good bundle of it yet") {
				t.Errorf("%s: ready %v, %s, %v", what, st.Ready, u.reasons(), err)
			}
			if got := u.allowed("api.example.com"); !strings.Contains(got, "policy_error") {
				t.Errorf("%s: %s", what, got)
			}
		}
		cold("without a server")
		if out := u.exec("status", "--control", u.control); out.code != 1 || !strings.Contains(out.stdout, "there is no good bundle of it yet") || !strings.Contains(out.stdout, "web: none yet from https://") || !strings.Contains(out.stdout, "(unreachable)") {
			t.Errorf("%+v", out)
		}
		if out := u.enrolled(nil, "curl -sS "+u.https("api.example.com", "/")); !strings.Contains(out.stdout, "policy_error") {
			t.Errorf("%+v", out)
		}
		u.publish(u.version("1", "api.example.com"), `"1"`)
		u.server.Up()
		u.until("it is not taken", func() bool { st, err := u.told(); return err == nil && st.Ready })
		if wrong := u.in("1", "api.example.com", "other.example.com"); wrong != "" {
			t.Error(wrong)
		}
		u.server.Down()
		u.kill()
		u.begun()
		if wrong := u.in("1", "api.example.com", "other.example.com"); wrong != "" || !u.policy("web").Bundle.Restored {
			t.Errorf("what was kept is not in force: %s, %+v", wrong, u.policy("web").Bundle)
		}
		u.server.Up() // which has nothing else
		u.until("it is not asked", func() bool { return !u.policy("web").Bundle.Restored })
		u.publish(u.version("0", "other.example.com"), `"0"`)
		u.until("an older one is taken after a restart", func() bool { return u.code() == "rollback" })
		u.server.Down()
		u.kill()
		kept, err := filepath.Glob(filepath.Join(filepath.Dir(u.dir), "state", "ca", "bundles", "*.bundle"))
		if err != nil || len(kept) != 1 {
			t.Fatalf("%v, %v", kept, err)
		}
		was, err := os.ReadFile(kept[0])
		if err != nil {
			t.Fatal(err)
		}
		said, archive, _ := bytes.Cut(was, []byte("\n"))
		for what, b := range map[string][]byte{"changed": append(append(bytes.Clone(said), '\n'), append(archive[:len(archive)-1:len(archive)-1], archive[len(archive)-1]^1)...), "cut": was[:len(was)-10]} {
			if err := os.WriteFile(kept[0], b, 0o600); err != nil {
				t.Fatal(err)
			}
			u.begun()
			cold(what)
			u.kill()
		}
		if err := os.WriteFile(kept[0], was, 0o600); err != nil {
			t.Fatal(err)
		}
		written(t, filepath.Join(u.dir, "key.pem"), []byte(bundles.NewKey().Public))
		u.begun()
		cold("with another key")
		u.stop()
		if n := len(u.find(map[string]string{"event.name": "egress.policy.refused", "detail.event": "kept", "detail.code": "signature"})); n != 1 {
			t.Errorf("%d records of what was kept and is not signed", n)
		}
	})
}
