package main

import (
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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/cmd/sidecar"
	"sallyport/origin"
)

// versions are configurations that follow each other, each in one file and with a
// policy of its own: A lets /a pass with credential alpha, B lets /b pass with beta,
// both let /both pass, and each puts its own tag on what passes.
type versions struct {
	*place
	t       testing.TB
	base    string
	config  string
	control string
	client  *admin.Client
}

func newVersions(t *testing.T, p *place) *versions {
	t.Helper()
	base := filepath.Dir(p.dir)
	v := &versions{place: p, t: t, base: base, config: filepath.Join(base, "sallyport.yaml"), control: filepath.Join(base, "run", "control.sock")}
	for _, d := range []string{"state", "run", "policies"} {
		if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	v.client = admin.NewClient(v.control)
	return v
}

// letter is what a version lets pass, and with which credential.
func letter(i int) (path, credential string) {
	if i%2 == 0 {
		return "a", "alpha"
	}
	return "b", "beta"
}

// tag is what a version calls itself on all that it has a say in.
func tag(i int) string { return fmt.Sprintf("v%03d", i) }

// write puts version i in force, or what is wrong with it in one of four ways.
func (v *versions) write(i, broken int) {
	v.t.Helper()
	path, credential := letter(i)
	source := "TOKEN_" + strings.ToUpper(path)
	text := fmt.Sprintf("package egress\n\n# %[1]s\nallow if input.request.path in {\"/%[2]s\", \"/both\"}\n\ncredentials contains \"%[3]s\"\n\nset_headers contains {\"name\": \"X-V\", \"value\": \"%[1]s\"}\n\nset_headers contains {\"name\": \"X-P\", \"value\": input.sandbox.props.v}\n", tag(i), path, credential)
	network := "127.0.0.0/8"
	switch broken {
	case 1:
		text += fmt.Sprintf("\ndney contains \"broken%d\"\n", i)
	case 2:
		credential = fmt.Sprintf("broken%d", i)
	case 3:
		network = "127.0.0.0/9"
	}
	dir := filepath.Join(v.base, "policies", fmt.Sprint(tag(i), "-", broken))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		v.t.Fatal(err)
	}
	config := fmt.Sprintf(`state: %[1]s/state/ca
control: {socket: %[2]s}
audit: {dir: %[3]s}
policies:
  - {name: main, dir: %[4]s}
default_policy: [main]
credentials:
  - {name: %[5]s, source: "env:%[6]s", bind: "https://%[7]s"}
network:
  allow_private: [%[8]s]
  upstream_ca: [%[9]s]
  resolve: {api.example.com: 127.0.0.1}
drain_timeout: %[10]ds
sandboxes:
`, v.base, v.control, v.log, dir, credential, source, v.at("api.example.com"), network, v.ca, 2+i%3)
	for _, name := range []string{"one", "two"} {
		config += fmt.Sprintf("  - {name: %[1]s, labels: {v: %[2]s}, props: {v: %[2]s}, explicit: {socket: %[3]s/run/%[1]s.sock, user: %[4]d}}\n", name, tag(i), v.base, os.Getuid())
	}
	if broken == 4 {
		config += fmt.Sprintf("broken%d: yes\n", i)
	}
	temp := v.config + ".new"
	for file, b := range map[string]string{filepath.Join(dir, "p.rego"): text, temp: config} {
		if err := os.WriteFile(file, []byte(b), 0o644); err != nil {
			v.t.Fatal(err)
		}
	}
	if err := os.Rename(temp, v.config); err != nil {
		v.t.Fatal(err)
	}
}

// status is the digest of the policy in force, and why a newer one is not.
func (v *versions) status() (digest, failed string, ready bool) {
	st, err := v.client.Status(context.Background())
	if err != nil || len(st.Policies) != 1 {
		return "", fmt.Sprint(err), false
	}
	return st.Policies[0].Digest, fmt.Sprint(st.Reasons), st.Ready
}

// until waits for what status says.
func (v *versions) until(what string, done func(digest, failed string, ready bool) bool) string {
	v.t.Helper()
	for range 3000 {
		if d, f, r := v.status(); done(d, f, r) {
			return d
		}
		time.Sleep(2 * time.Millisecond)
	}
	d, f, _ := v.status()
	v.t.Fatalf("%s: %s %s", what, d, f)
	return ""
}

// sent is what a client says of its requests: whether each was answered well.
type sent struct {
	mu   sync.Mutex
	path map[string]string // of a request
	how  map[string]string // "ok", "denied", or how it went wrong
}

// ask sends requests as fast as they are answered until it is told to stop.
func (v *versions) ask(stop *atomic.Bool, s *sent, roots *x509.CertPool, name, who string, h2 bool) {
	proxy := &url.URL{Scheme: "http", Host: "proxy"}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: h2,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(v.base, "run", name+".sock"))
		}}
	defer tr.CloseIdleConnections()
	for n := 0; !stop.Load(); n++ { // POST: a client does not send it twice by itself
		id, path := fmt.Sprint(who, "-", n), []string{"/a", "/b", "/both"}[n%3]
		req, _ := http.NewRequest(http.MethodPost, "https://"+v.at("api.example.com")+path, nil)
		req.Header.Set("X-Request-Id", id)
		how := ""
		resp, err := tr.RoundTrip(req)
		if err != nil {
			how = err.Error()
		} else {
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			switch {
			case err != nil:
				how = err.Error()
			case resp.StatusCode == 200:
				how = "ok"
			case resp.StatusCode == 403 && strings.Contains(string(b), "default_deny"):
				how = "denied"
			default:
				how = fmt.Sprint(resp.StatusCode, " ", string(b))
			}
		}
		s.mu.Lock()
		s.path[id], s.how[id] = path, how
		s.mu.Unlock()
	}
}

// A hundred reloads at full traffic, a quarter of them broken: each decision is of
// one version, with all that belongs to it, and none is lost.
func TestReloadUnderLoad(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	p.env = append(p.env, "TOKEN_A=alpha-secret-0123456789", "TOKEN_B=beta-secret-0123456789")
	v := newVersions(t, p)
	v.write(0, 0)
	b := p.spawn(t, binary, "serve", "-c", v.config)
	v.underLoad(t, 16, 100, func() { _ = b.cmd.Process.Signal(unix.SIGHUP) }, func() {
		_ = b.cmd.Process.Signal(unix.SIGTERM)
		if err := b.cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, b.out)
		}
	})
}

// The same in the process of the test, which looks for data races, and is slow: with
// more clients the time that a policy has for an answer is not always enough.
func TestReloadUnderLoadInProcess(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	t.Setenv("TOKEN_A", "alpha-secret-0123456789")
	t.Setenv("TOKEN_B", "beta-secret-0123456789")
	v := newVersions(t, p)
	v.write(0, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- sidecar.Serve(ctx, v.config) }()
	v.underLoad(t, 4, 24, func() { _ = unix.Kill(os.Getpid(), unix.SIGHUP) }, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// underLoad reloads while clients ask through two sandboxes.
func (v *versions) underLoad(t *testing.T, clients, reloads int, hup, end func()) {
	of := map[string]int{} // digest to version
	of[v.until("it is not ready", func(d, _ string, ready bool) bool { return ready && d != "" })] = 0
	st, err := v.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(st.CA))
	all := &sent{path: map[string]string{}, how: map[string]string{}}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range clients {
		name := []string{"one", "two"}[i%2]
		wg.Go(func() { v.ask(&stop, all, roots, name, fmt.Sprint(name, i), i%4 < 2) })
	}
	begin := time.Now()
	taken, refused, last := 0, 0, ""
	for i, version := 0, 0; i < reloads; i++ {
		if broken := i % 4; broken == 3 {
			kind := 1 + i/4%4
			v.write(version+1, kind)
			hup()
			last = v.until("a broken one is not seen", func(_, f string, _ bool) bool { return f != "[]" && f != last && f != "<nil>" })
			_, last, _ = v.status()
			refused++
			continue
		}
		version++
		v.write(version, 0)
		hup()
		of[v.until("it is not taken", func(d, f string, _ bool) bool { _, known := of[d]; return f == "[]" && d != "" && !known })] = version
		taken++
	}
	took := time.Since(begin)
	time.Sleep(50 * time.Millisecond)
	stop.Store(true)
	wg.Wait()
	end()
	v.verified()
	v.account(t, all, of, taken, refused)
	t.Logf("%d requests of %d clients during %d reloads in %v", len(all.how), clients, reloads, took.Round(time.Millisecond))
}

// account holds what clients, records and the origin say against each other.
func (v *versions) account(t *testing.T, all *sent, of map[string]int, taken, refused int) {
	type decision struct {
		version int
		allowed bool
		id      string
	}
	decided, ends := map[string]decision{}, map[string]string{}
	loaded, records := map[string]bool{}, map[string]int{}
	f := 0
	fail := func(format string, a ...any) {
		if f++; f <= 20 {
			t.Errorf(format, a...)
		}
	}
	for _, e := range v.records() {
		records[e.Str("event.name")]++
		switch e.Str("event.name") {
		case "egress.config.loaded":
			loaded[e.Str("detail.policy.main")] = true
		case "egress.request.complete":
			ends[e.Str("event.of")] = e.Str("error.type") + " " + fmt.Sprint(e.Fields["credential.uses"])
		case "egress.request.decision":
			id := e.Str("client.request_id")
			if _, twice := decided[id]; twice || id == "" {
				fail("%q has two decisions", id)
			}
			d := decision{of[e.Str("policy.bundle.sha256")], e.Str("policy.decision") == "allow", e.Str("event.id")}
			decided[id] = d
			path, _ := letter(d.version)
			if mine := e.Str("url.path") == "/"+path || e.Str("url.path") == "/both"; mine != d.allowed {
				fail("%s: %s is allowed=%v by version %d (%s)", id, e.Str("url.path"), d.allowed, d.version, e.Str("policy.code"))
			}
			if l, _ := e.Fields["sandbox.labels"].(map[string]any); l["v"] != tag(d.version) {
				fail("%s: labels %v in a decision of version %d", id, l, d.version)
			}
		}
	}
	delete(loaded, "")
	// What was asked for is taken or refused, each by its own name; the watch of files may see one that a signal told of.
	asked, told := taken+refused, records["egress.config.loaded"]+records["egress.config.refused"]
	if len(loaded) != taken || records["egress.config.refused"] < refused || told < asked || told > asked+asked/4+2 {
		t.Errorf("%d of %d were taken, %d of %d refused", len(loaded), taken, records["egress.config.refused"], refused)
	}
	cut := 0
	for id, how := range all.how {
		d, ok := decided[id]
		end, ended := ends[d.id]
		_, credential := letter(d.version)
		switch {
		case !ok:
			fail("%s has no decision: %s", id, how)
		case d.allowed != ended:
			fail("%s: allowed=%v, and has an outcome: %v", id, d.allowed, ended)
		case how == "ok" && (!d.allowed || !strings.HasPrefix(end, " ") || !strings.Contains(end, "name:"+credential)):
			fail("%s was answered well: allowed=%v %s", id, d.allowed, end)
		case how == "denied" && d.allowed && !strings.HasPrefix(end, "policy_changed "), how != "ok" && how != "denied" && !strings.HasPrefix(end, "policy_changed "):
			fail("%s (%s) went wrong: %s; %s", id, all.path[id], how, end)
		case all.path[id] == "/both" && how != "ok":
			fail("%s is allowed by all and was not: %s; %s", id, how, end)
		}
		if strings.HasPrefix(end, "policy_changed ") {
			cut++
		}
	}
	seen := 0
	for _, r := range v.origin.Seen() {
		id := r.Header.Get("X-Request-Id")
		d, ok := decided[id]
		path, credential := letter(d.version)
		if !ok || !d.allowed || r.Header.Get("X-V") != tag(d.version) || r.Header.Get("X-P") != tag(d.version) || r.Target != "/"+path && r.Target != "/both" ||
			r.Header.Get("Authorization") != "Bearer "+credential+"-secret-0123456789" {
			fail("%s, decided by version %d: the origin saw %s %s %s %s", id, d.version, r.Target, r.Header["X-V"], r.Header["X-P"], r.Header["Authorization"])
		}
		seen++
	}
	if seen < 100 || len(all.how) < 2*seen/3 {
		t.Errorf("only %d requests, %d arrived", len(all.how), seen)
	}
	t.Logf("%d decisions, %d arrived, %d were cut by a change", len(decided), seen, cut)
}
