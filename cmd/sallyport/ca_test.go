package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/cmd/sidecar"
	"sallyport/origin"
	"sallyport/proxy/leaf"
)

// ca is a command about the CA, which succeeds.
func (s *side) ca(args ...string) output {
	s.t.Helper()
	out := s.exec(append(append([]string{"ca"}, args...), "--control", s.control)...)
	if out.code != 0 {
		s.t.Fatalf("ca %v: %+v\n%s", args, out, s.b.out)
	}
	return out
}

// verifying are clients that fetch $U/x, each by its own TLS and trust store.
var verifying = map[string]string{
	"curl-h1":  "curl -sS --http1.1 $U/x",
	"curl-h2":  "curl -sS --http2 -w ' over h%{http_version}' $U/x",
	"openssl":  `printf 'GET /x HTTP/1.0\r\nHost: %s\r\n\r\n' ${U#https://} | openssl s_client -quiet -verify_return_error -verify_hostname api.example.com -connect ${U#https://} 2>&1`,
	"python":   `/usr/bin/python3 -c "import urllib.request as u; print(u.urlopen('$U/x').read().decode())"`,
	"node":     `node -e "fetch('$U/x').then(r => r.text()).then(console.log)"`,
	"go":       "./goclient $U/x",
	"git":      "git ls-remote $U/x && echo hello /x", // GnuTLS; what comes is no list of references
	"java":     "java -XX:+UseSerialGC Get.java $U/x",
	"chromium": "chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync --dump-dom $U/x 2>/dev/null",
}

// fetching is a script that has them all fetch, in one round.
func fetching(round string) string {
	s := ""
	for name, cmd := range verifying {
		s += fmt.Sprintf("echo \"%s %s: $(%s 2>&1 | tail -n 3 | tr '\\n' ' ')\"; ", round, name, cmd)
	}
	return s + "echo " + round + " done; "
}

func helloes() origin.Options {
	return origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s", r.URL.Path) })}
}

// fetched reports the clients that did not fetch in a round.
func fetched(t *testing.T, out, round string) {
	t.Helper()
	for name := range verifying {
		if !strings.Contains(after(out, round+" "+name+": "), "hello /x") {
			t.Errorf("%s in round %s: %s", name, round, after(out, round+" "+name+": "))
		}
	}
	if !strings.Contains(after(out, round+" curl-h2: "), "over h2") {
		t.Errorf("no HTTP/2 in round %s", round)
	}
}

// after is the rest of the line behind a text.
func after(out, text string) string {
	_, rest, _ := strings.Cut(out, text)
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

// A live sandbox goes on through rotations and a restart, with clients that verify by whatever
// means; a new one trusts the new CA and nothing of the old.
func TestRotatedCA(t *testing.T) {
	for name, pkg := range map[string]string{"curl": "curl", "openssl": "openssl", "node": "nodejs", "python3": "python3", "git": "git", "javac": "default-jdk-headless", "chromium": "chromium"} {
		tool(t, name, pkg)
	}
	client := buildGoClient(t)
	each(t, helloes(), func(t *testing.T, p *place) {
		p.clients(client)
		s := p.sidecar(t, "")
		u := p.https("api.example.com", "")
		first := s.ca("export").stdout
		b := p.spawn(t, binary, "run", "--sidecar", s.control, "--name", "old", "--env", "U="+u, "--", "/bin/sh", "-c",
			"until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }; "+fetching("zero")+"until_file go1; "+fetching("one")+"until_file go2; "+fetching("two")+"until_file go3; "+fetching("three")+"until_file go4; curl -sS $U/x; echo; echo four done")
		b.until("zero done")
		s.ca("rotate")
		second := s.ca("export").stdout
		b.tell("go1")
		b.until("one done")
		out := s.ca("rotate", "--days", "90")
		third := s.ca("export").stdout
		if first == second || second == third || !strings.Contains(out.stdout, "sha256   "+sum(t, third)) || !strings.Contains(out.stdout, "older    sha256 "+sum(t, first)) || !strings.Contains(s.ca("show").stdout, "older    sha256 "+sum(t, second)) {
			t.Errorf("%+v\n%+v", out, s.ca("show"))
		}
		b.tell("go2")
		b.until("two done")
		s.stop()
		s.begin()
		b.until("the sidecar is back")
		b.tell("go3")
		b.until("three done")
		for _, round := range []string{"zero", "one", "two", "three"} {
			fetched(t, b.out.String(), round)
		}
		now := s.enrolled([]string{"--name", "new", "--env", "U=" + u}, fetching("new")+"cat /run/sallyport/ca.pem; cat /run/sallyport/ca-bundle.pem")
		fetched(t, now.stdout, "new")
		if strings.Count(now.stdout, body(third)) != 2 || strings.Contains(now.stdout, body(first)) || strings.Contains(now.stdout, body(second)) {
			t.Error("a new sandbox trusts something else than the new CA")
		}
		// No more than four lead here; one that is left behind is told, and has no TLS.
		s.ca("rotate")
		s.ca("rotate")
		if out := p.exec("ca", "rotate", "--control", s.control); out.code == 0 || !strings.Contains(out.stderr, "what trusts an older CA would not trust the new one") || !strings.Contains(out.stderr, sum(t, first)) {
			t.Errorf("%+v", out)
		}
		if out := s.ca("rotate", "--force"); !strings.Contains(out.stdout, "left     sha256 "+sum(t, first)) {
			t.Errorf("%+v", out)
		}
		b.tell("go4")
		b.until("four done")
		if got := after(b.out.String(), "three done\n"); !strings.Contains(got, "certificate") || strings.Contains(got, "hello") {
			t.Errorf("what was left behind: %s", got)
		}
		_ = b.cmd.Wait()
		s.stop()
		uid := p.who.uid
		if uid == 0 {
			uid = os.Getuid()
		}
		if n := len(p.find(map[string]string{"event.name": "egress.control.change", "detail.action": "ca.rotate", "detail.actor.uid": fmt.Sprint(uid), "detail.ca.from": sum(t, first), "detail.ca.to": sum(t, second)})); n != 1 {
			t.Errorf("the first rotation is recorded %d times", n)
		}
		if n := len(p.find(map[string]string{"detail.action": "ca.rotate", "detail.ca.lost": sum(t, first)})); n != 1 {
			t.Errorf("what was left behind is recorded %d times", n)
		}
	})
}

// body is what a certificate in PEM is known by, also in a bundle: of its signature.
func body(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-3]
}

func sum(t *testing.T, text string) string {
	t.Helper()
	b, _ := pem.Decode([]byte(text))
	if b == nil {
		t.Fatalf("not a certificate: %s", text)
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return sidecar.Fingerprint(c)
}

// said is the status and the answer of the control socket.
func said(t *testing.T, socket, method, path, body string) string {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer c.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://sallyport"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, b)
}

// A CA can be made ahead of the first start, and serve takes it.
func TestCAInit(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		state := filepath.Join(filepath.Dir(p.dir), "state")
		if err := os.Mkdir(state, 0o755); err != nil {
			t.Fatal(err)
		}
		if p.who.uid != 0 {
			_ = os.Chown(state, p.who.uid, p.who.uid)
		}
		dir := filepath.Join(state, "ca")
		if out := p.exec("ca", "init", "--state", dir, "--days", "0"); out.code == 0 || !strings.Contains(out.stderr, "--days 0: expected 1 to 3650") {
			t.Errorf("%+v", out)
		}
		made := p.exec("ca", "init", "--state", dir, "--days", "90")
		text, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if err != nil || made.code != 0 || !strings.Contains(made.stdout, "sha256   "+sum(t, string(text))) || !strings.Contains(made.stdout, "file     "+dir+"/ca.pem") || !strings.Contains(made.stdout, time.Now().UTC().Add(90*24*time.Hour).Format("until    2006-01-02")) {
			t.Fatalf("%v %+v", err, made)
		}
		if again := p.exec("ca", "init", "--state", dir); again.code == 0 || !strings.Contains(again.stderr, "there is a CA already in "+dir+"; export it, or replace it with 'sallyport ca rotate'") {
			t.Errorf("%+v", again)
		}
		s := p.sidecar(t, "")
		if got := s.ca("export").stdout; got != string(text) {
			t.Errorf("serve has another CA: %s", got)
		}
		for name, body := range map[string]string{"400": `{"days": 4000}`, "400 ": `{"years": 1}`, "400  ": ``} {
			out := said(t, s.control, "POST", "/v1/ca/rotate", body)
			if !strings.HasPrefix(out, strings.TrimSpace(name)) {
				t.Errorf("%s: %s", body, out)
			}
		}
		if got := s.ca("export").stdout; got != string(text) {
			t.Error("a refused rotation changed the CA")
		}
		s.stop()
	})
}

// A CA that is about to end is told of; when it has, the sidecar is not ready
// until it is rotated.
func TestCAEnds(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	dir := filepath.Join(filepath.Dir(p.dir), "state", "ca")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if p.who.uid != 0 {
		_ = os.Chown(dir, p.who.uid, p.who.uid)
	}
	i, err := leaf.Init(dir, leaf.Options{Lifetime: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	end := i.CA().Certificate.NotAfter.Format(time.DateOnly)
	s := p.sidecar(t, "")
	status := func() output { return p.exec("status", "--control", s.control) }
	if out := status(); out.code != 0 || !strings.Contains(out.stdout, "the CA ends on "+end+": rotate it before") {
		t.Errorf("%+v", out)
	}
	u := p.https("api.example.com", "/echo")
	for range 200 {
		if status().code == 1 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if out := status(); out.code != 1 || !strings.Contains(out.stdout, "and no TLS can be opened: rotate it (sallyport ca rotate)") {
		t.Errorf("%+v", out)
	}
	if m := said(t, s.control, "GET", "/metrics", ""); !strings.Contains(m, "\nsallyport_ready 0\n") || value(t, m, "sallyport_ca_end_timestamp_seconds") != float64(i.CA().Certificate.NotAfter.Unix()) {
		t.Errorf("%v", m)
	}
	if out := said(t, s.control, "GET", "/readyz", ""); !strings.HasPrefix(out, "503 the CA ended on "+end) {
		t.Error(out)
	}
	if out := s.enrolled(nil, "curl -sS "+u); strings.Contains(out.stdout, "Method") || len(p.origin.Seen()) != 0 {
		t.Errorf("with an expired CA: %+v", out)
	}
	if out := s.ca("rotate"); strings.Contains(out.stdout, "older") {
		t.Errorf("an expired CA leads to another: %+v", out)
	}
	if out := status(); out.code != 0 || strings.Contains(out.stdout, "the CA end") {
		t.Errorf("%+v", out)
	}
	if out := s.enrolled(nil, "curl -sS "+u); !strings.Contains(out.stdout, `"Method":"GET"`) {
		t.Errorf("with a new CA: %+v", out)
	}
	s.stop()
}

// hostile 200, 202: the old key is nowhere, also under another name, and a key
// that others could read is not used.
func TestOldKeyIsGone(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		more, want := "", p.who.uid
		if want == 0 {
			want = os.Getuid()
		}
		if want == 0 { // the one who rotates is not root then
			more, want = "user: \"23456\"\n", 23456
		}
		dir := filepath.Join(filepath.Dir(p.dir), "state", "ca")
		if more != "" {
			if err := os.Mkdir(filepath.Dir(dir), 0o755); err != nil {
				t.Fatal(err)
			}
			if out := p.exec("ca", "init", "--state", dir, "--user", "23456"); out.code != 0 {
				t.Fatalf("%+v", out)
			}
		} else if out := p.exec("ca", "init", "--state", dir, "--user", "23456"); out.code == 0 || !strings.Contains(out.stderr, "--user 23456: only root can make it for another user") {
			t.Errorf("%+v", out)
		}
		s := p.sidecar(t, more)
		key, copied := filepath.Join(dir, "ca.key"), filepath.Join(filepath.Dir(p.dir), "copy")
		if err := os.Link(key, copied); err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		secret := strings.Split(string(old), "\n")[2]
		s.ca("rotate")
		s.stop()
		for _, root := range []string{dir, copied, p.log} {
			err := filepath.WalkDir(root, func(f string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				b, err := os.ReadFile(f)
				if strings.Contains(string(b), secret) || f == copied && len(strings.Trim(string(b), "\x00")) > 0 {
					t.Errorf("%s has the old key", f)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 || int(st.Sys().(*syscall.Stat_t).Uid) != want {
			t.Errorf("%+v %v", st, err)
		}
		if err := os.Chmod(key, 0o644); err != nil {
			t.Fatal(err)
		}
		if out := p.exec("serve", "-c", s.config); out.code != codeFailed || !strings.Contains(out.stderr, "may be read by others (mode 0644)") {
			t.Errorf("%+v", out)
		}
	})
}
