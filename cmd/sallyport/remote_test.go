package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/origin"
)

// A testCA makes certificates for a test, into files.
type testCA struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newTestCA(t *testing.T, dir, name string) *testCA {
	t.Helper()
	ca := &testCA{t: t, dir: dir}
	ca.cert, ca.key = ca.make(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	ca.file = filepath.Join(dir, name+".pem")
	return ca
}

// make writes NAME.pem and NAME.key.
func (ca *testCA) make(name string, c *x509.Certificate, by *testCA) (*x509.Certificate, *ecdsa.PrivateKey) {
	ca.t.Helper()
	must := func(err error) {
		ca.t.Helper()
		if err != nil {
			ca.t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	must(err)
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	must(os.WriteFile(filepath.Join(ca.dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	must(os.WriteFile(filepath.Join(ca.dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}), 0o644))
	out, err := x509.ParseCertificate(der)
	must(err)
	return out, key
}

// client makes a client's certificate and returns what curl is told.
func (ca *testCA) client(name string, c *x509.Certificate) []string {
	if c.ExtKeyUsage == nil {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	ca.make(name, c, ca)
	return []string{"--cert", filepath.Join(ca.dir, name+".pem"), "--key", filepath.Join(ca.dir, name+".key")}
}

// A far is a sidecar that is commanded over TCP as well.
type far struct {
	*side
	t      *testing.T
	server *testCA
	people *testCA
	token  string // a file
	at     string // HOST:PORT
}

// listens starts a sidecar whose control.listen asks for these.
func (p *place) listens(t *testing.T, asks, more string) *far {
	t.Helper()
	base := filepath.Dir(p.dir)
	f := &far{side: p.sidecar(t, more), t: t, token: filepath.Join(base, "token"), at: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	f.server, f.people = newTestCA(t, base, "server-ca"), newTestCA(t, base, "people-ca")
	f.server.make("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, f.server)
	if err := os.WriteFile(f.token, []byte(strings.Repeat("one-", 10)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.stop()
	f.edit(func(s string) string {
		return strings.Replace(s, "control: {socket: "+f.control+"}", fmt.Sprintf("control: {socket: %s, listen: {address: '%s', cert: server.pem, key: server.key, %s}}", f.control, f.at, asks), 1)
	})
	f.begin()
	return f
}

func (f *far) edit(with func(string) string) {
	f.t.Helper()
	b, err := os.ReadFile(f.config)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(f.config, []byte(with(string(b))), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// curl returns the status and the body.
func (f *far) curl(path string, args ...string) string {
	f.t.Helper()
	b, err := exec.Command("curl", append([]string{"-sS", "-m", "10", "--cacert", f.server.file, "-w", " %{http_code}", "https://" + f.at + path}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v %s", err, b)
	}
	return strings.ReplaceAll(string(b), "\n", "")
}

func bearer(token string) []string { return []string{"-H", "Authorization: Bearer " + token} }

// hostile 216: over TCP the sidecar is commanded by who has the token and the
// certificate that are asked for, and by nobody else; each who is not is recorded.
func TestCommandsOverTCP(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	f := p.listens(t, "client_ca: people-ca.pem, token: 'file:token'", "sandboxes: [{name: box}]\n")
	strangers := newTestCA(t, filepath.Dir(p.dir), "stranger-ca")
	id, err := url.Parse("spiffe://corp/ops")
	if err != nil {
		t.Fatal(err)
	}
	good := f.people.client("ops", &x509.Certificate{URIs: []*url.URL{id}, DNSNames: []string{"ops.corp"}})
	token := bearer(strings.Repeat("one-", 10))
	both := append(append([]string{}, good...), token...)
	if got := f.curl("/v1/sandboxes/box", both...); !strings.Contains(got, `"name":"box"`) || !strings.HasSuffix(got, " 200") {
		t.Fatal(got)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "no_certificate 401"},
		{"a token alone", token, "no_certificate 401"},
		{"a certificate alone", good, "no_token 401"},
		{"a wrong token", append(bearer(strings.Repeat("two-", 10)), good...), "wrong_token 401"},
		{"the beginning of the token", append(bearer("one-"), good...), "wrong_token 401"},
		{"the token and more", append(bearer(strings.Repeat("one-", 11)), good...), "wrong_token 401"},
		{"an empty token", append(bearer(""), good...), "no_token 401"},
		{"two tokens", append(append(bearer("x"), token...), good...), "no_token 401"},
		{"the token as basic", append([]string{"-u", "x:" + strings.Repeat("one-", 10)}, good...), "no_token 401"},
		{"a certificate of others", append(strangers.client("ops2", &x509.Certificate{URIs: []*url.URL{id}}), token...), "wrong_certificate 403"},
		{"one that is over", append(f.people.client("old", &x509.Certificate{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}), token...), "wrong_certificate 403"},
		{"one that is not good yet", append(f.people.client("new", &x509.Certificate{NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}), token...), "wrong_certificate 403"},
		{"one for servers", append(f.people.client("srv", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), token...), "wrong_certificate 403"},
		{"a page of a browser", append([]string{"-H", "Origin: https://evil.example"}, both...), "from_browser 403"},
	} {
		code, status, _ := strings.Cut(c.want, " ")
		for _, path := range []string{"/v1/sandboxes/box", "/metrics", "/healthz"} {
			if got := f.curl(path, c.args...); !strings.HasSuffix(got, " "+status) || !strings.Contains(got, `"code":"`+code+`"`) || strings.Contains(got, "box") {
				t.Errorf("%s at %s: %s", c.name, path, got)
			}
		}
	}
	if b, err := exec.Command("curl", "-sS", "-m", "5", "http://"+f.at+"/healthz").CombinedOutput(); err == nil && !strings.Contains(string(b), "HTTPS") {
		t.Errorf("without TLS: %s", b)
	}
	// What is commanded over TCP is recorded with who did it.
	if got := f.curl("/v1/sandboxes/box", append([]string{"-X", "PATCH", "-d", `{"state":"paused"}`}, both...)...); !strings.Contains(got, `"state":"paused"`) {
		t.Error(got)
	}
	long := filepath.Join(filepath.Dir(p.dir), "long")
	if err := os.WriteFile(long, []byte("{"+strings.Repeat(" ", 2<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := f.curl("/v1/sandboxes", append([]string{"--data-binary", "@" + long}, both...)...); !strings.HasSuffix(got, " 413") {
		t.Errorf("a long body: %.200s", got)
	}
	f.stop()
	done := p.find(map[string]string{"event.name": "egress.control.change", "detail.action": "change"})
	if len(done) != 1 || done[0].Str("detail.actor.name") != "spiffe://corp/ops" || done[0].Str("detail.actor.address") != "127.0.0.1" || len(done[0].Str("detail.actor.certificate")) != 64 || done[0].Str("detail.actor.uid") != "" {
		t.Errorf("%v", done)
	}
	count := 0
	for _, e := range p.records() {
		if e.Str("event.name") == "egress.control.refused" || e.Str("event.name") == "egress.deny.summary" && e.Str("detail.of") == "egress.control.refused" {
			if e.Str("detail.actor.address") != "127.0.0.1" || e.Str("detail.reason") == "" {
				t.Errorf("%s", e.Line)
			}
			count += max(int(e.Int("event.count")), 1)
		}
		if strings.Contains(string(e.Line), "one-one") || strings.Contains(string(e.Line), "two-two") {
			t.Errorf("a token is recorded: %s", e.Line)
		}
	}
	if records := len(p.find(map[string]string{"event.name": "egress.control.refused"})); count != 14*3 || records > 12 {
		t.Errorf("%d were turned away, by %d records", count, records)
	}
}

// Every command of the sidecar's works over TCP, by flags or variables, and says
// what is wrong.
func TestCommandLineOverTCP(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		f := p.listens(t, "token: 'file:token'", "sandboxes: [{name: box}]\n")
		flags := []string{"--control", "https://" + f.at, "--control-ca", f.server.file, "--control-token-file", f.token}
		for _, args := range [][]string{{"status"}, {"sandbox", "ls"}, {"sandbox", "show", "box"}, {"sandbox", "limit", "box", "rate=5"}, {"sandbox", "pause", "box"}, {"decisions"}, {"credential", "ls"}, {"policy", "ls"}, {"ca", "show"}} {
			if out := p.exec(append(args, flags...)...); out.code != 0 || args[0] != "decisions" && out.stdout == "" {
				t.Errorf("%v: %+v", args, out)
			}
		}
		env := p.env
		p.env = append(p.env, "SALLYPORT_CONTROL=https://"+f.at, "SALLYPORT_CONTROL_CA="+f.server.file, "SALLYPORT_CONTROL_TOKEN_FILE="+f.token)
		if out := p.exec("sandbox", "ls"); out.code != 0 || !strings.Contains(out.stdout, "box") {
			t.Errorf("%+v", out)
		}
		p.env = env
		for _, c := range []struct {
			args []string
			want string
		}{
			{[]string{"--control", "https://" + f.at, "--control-ca", f.server.file}, "a token of the sidecar is needed"},
			{[]string{"--control", "https://" + f.at, "--control-token-file", f.token}, "certificate signed by unknown authority"},
			{[]string{"--control", "http://" + f.at, "--control-token-file", f.token}, "over TCP a sidecar is commanded by https only"},
			{[]string{"--control", "https://user@" + f.at}, "by https only"},
			{[]string{"--control", "https://" + f.at, "--control-cert", f.token}, "a certificate and its key are named together"},
			{[]string{"--control", "https://" + f.at, "--control-ca", f.token}, "there is no PEM certificate in it"},
			{[]string{"--control", "https://" + f.at, "--control-token-file", "/dev/null"}, "is empty"},
			{[]string{"--control", f.at, "--control-token-file", f.token}, "over TCP it is https://" + f.at},
		} {
			if out := p.exec(append([]string{"status"}, c.args...)...); out.code != 125 || !strings.Contains(out.stderr, c.want) {
				t.Errorf("%v: %+v", c.args, out)
			}
		}
		f.stop()
		if n := len(p.find(map[string]string{"event.name": "egress.control.change", "detail.action": "change", "detail.actor.name": "token"})); n != 2 {
			t.Errorf("%d changes by the token", n)
		}
	})
}

// hostile 217: a token or CA that is replaced ends what it let in, also a stream,
// and nothing else.
func TestControlIsTakenBack(t *testing.T) {
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	f := p.listens(t, "token: 'file:token'", "sandboxes: [{name: box}]\n")
	two := filepath.Join(filepath.Dir(p.dir), "two")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	first, second := strings.Repeat("one-", 10), strings.Repeat("two-", 10)
	write(two, second)
	client := func(token string) *admin.Client {
		return admin.Endpoint{At: "https://" + f.at, CA: f.server.file, Token: token}.Client()
	}
	one := filepath.Join(filepath.Dir(p.dir), "one")
	write(one, first)
	write(f.token, first+"\n"+second+"\n")
	until := func(what string, done func() bool) {
		t.Helper()
		for range 500 {
			if done() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s\n%s", what, f.b.out)
	}
	ok := func(token string) bool { _, err := client(token).Status(t.Context()); return err == nil }
	until("a new token is not taken", func() bool { return ok(two) })
	watch := func(token string) (ended chan error, seen chan admin.Change) {
		ended, seen = make(chan error, 1), make(chan admin.Change, 10)
		go func() {
			ended <- client(token).Watch(t.Context(), func(c admin.Change) error { seen <- c; return nil })
		}()
		return ended, seen
	}
	gone, _ := watch(one)
	stays, seen := watch(two)
	time.Sleep(200 * time.Millisecond) // both watch
	write(f.token, second+"\n")
	select {
	case err := <-gone:
		if err == nil {
			t.Error("the stream ended as if it were over")
		}
	case <-time.After(5 * time.Second):
		t.Error("a stream outlives its token")
	}
	if ok(one) || !ok(two) {
		t.Error("the old token is good, or the new one is not")
	}
	label := "x"
	if _, err := client(two).Change(t.Context(), "box", admin.Patch{Labels: map[string]*string{"a": &label}}); err != nil {
		t.Error(err)
	}
	select {
	case c := <-seen:
		if c.Sandbox.Name != "box" {
			t.Errorf("%+v", c)
		}
	case err := <-stays:
		t.Errorf("a stream ended whose token is good: %v", err)
	case <-time.After(5 * time.Second):
		t.Error("nothing is seen")
	}
	// A certificate that is renewed is shown, without a restart.
	f.server.make("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"renewed"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, f.server)
	until("the renewed certificate is not shown", func() bool {
		c, err := tls.Dial("tcp", f.at, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return false
		}
		defer c.Close()
		return len(c.ConnectionState().PeerCertificates[0].DNSNames) == 1
	})
	write(f.token, "short\n") // not taken
	time.Sleep(1500 * time.Millisecond)
	if !ok(two) {
		t.Error("a broken token file locks everybody out")
	}
	loaded := len(p.find(map[string]string{"event.name": "egress.config.loaded"}))
	time.Sleep(2500 * time.Millisecond)
	if now := len(p.find(map[string]string{"event.name": "egress.config.loaded"})); now != loaded || now > 6 {
		t.Errorf("%d and then %d reloads", loaded, now)
	}
	f.stop()
}

// hostile 218: those who connect and say little hold no room, and many of them
// keep nobody out.
func TestSlowCommanders(t *testing.T) {
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	f := p.listens(t, "token: 'file:token'", "")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	slow := func(say func(net.Conn)) time.Duration {
		c, err := net.Dial("tcp", f.at)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer c.Close()
		begin := time.Now()
		if say != nil {
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			if err := tc.HandshakeContext(ctx); err != nil {
				return time.Since(begin)
			}
			c = tc
			say(c)
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err = io.Copy(io.Discard, c)
		if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // of this read
			t.Error("it is kept")
		}
		return time.Since(begin)
	}
	head := "POST /v1/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nAuthorization: Bearer "
	took := make(chan time.Duration, 200)
	for i := range 120 { // more than one address may hold
		go func() {
			switch i % 4 {
			case 0:
				took <- slow(nil)
			case 1:
				took <- slow(func(c net.Conn) { _, _ = io.WriteString(c, "GET /v1/st") })
			case 2:
				took <- slow(func(c net.Conn) { _, _ = io.WriteString(c, head+"wrong\r\n\r\n{") })
			case 3:
				took <- slow(func(c net.Conn) { _, _ = io.WriteString(c, head+strings.Repeat("one-", 10)+"\r\n\r\n{") })
			}
		}()
	}
	time.Sleep(500 * time.Millisecond)
	if st, err := admin.NewClient(f.control).Status(t.Context()); err != nil || !st.Ready {
		t.Errorf("the socket: %v", err)
	}
	for range 120 {
		if d := <-took; d > 14*time.Second {
			t.Errorf("a connection was held for %v", d)
		}
	}
	if _, err := (admin.Endpoint{At: "https://" + f.at, CA: f.server.file, Token: f.token}).Client().Status(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	f.stop()
}

// hostile 219: no sandbox reaches the control API over TCP, whatever opens its
// address: a prefix, a binding, a tunnel, or the token itself.
func TestControlIsNotReachedFromInside(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	f := p.listens(t, "token: 'file:token'", "")
	_, port, _ := net.SplitHostPort(f.at)
	ask := "curl -sSk -m 10 -H 'Authorization: Bearer " + strings.Repeat("one-", 10) + "' "
	out := f.enrolled([]string{"--name", "web", "--bind", "side.internal=https://" + f.at, "--bind", "zero.internal=https://0.0.0.0:" + port}, ask+"https://zero.internal/v1/status; "+ask+"https://api.example.com:"+port+"/v1/status; "+ask+"https://side.internal/v1/status; "+
		ask+"http://api.example.com:"+port+"/v1/status; "+ask+"https://"+f.at+"/v1/status || true")
	if n := strings.Count(out.stdout, "address_denied"); n != 4 || strings.Contains(out.stdout, "\"version\"") {
		t.Errorf("%d times refused: %+v", n, out)
	}
	out = f.enrolled([]string{"--name", "raw", "--policy", "raw", "--bind", "side.internal:1234=" + f.at, "--bind", "zero.internal:1234=0.0.0.0:" + port}, ask+"https://zero.internal:1234/v1/status; "+ask+"https://api.example.com:"+port+"/v1/status; "+ask+"https://side.internal:1234/v1/status; echo done")
	if strings.Contains(out.stdout, "\"version\"") || !strings.Contains(out.stdout, "done") {
		t.Errorf("%+v", out)
	}
	f.stop()
	if n := len(p.find(map[string]string{"event.name": "egress.tunnel.close", "error.type": "address_denied"})); n < 3 { // a client may try again
		t.Errorf("%d tunnels are refused", n)
	}
	if n := len(p.find(map[string]string{"event.name": "egress.control.refused"})); n != 0 {
		t.Errorf("%d arrived", n)
	}
}

// What is wrong with control.listen is said at its place.
func TestWrongControlListen(t *testing.T) {
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	dir := filepath.Dir(p.dir)
	ca := newTestCA(t, dir, "ca")
	ca.make("server", &x509.Certificate{}, ca)
	if err := os.WriteFile(filepath.Join(dir, "short"), []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	for listen, want := range map[string]string{
		"{address: '127.0.0.1:8443', cert: server.pem, key: server.key}":                          "x.yaml:1:29: control.listen: whoever reaches it could command the sidecar: add client_ca, token, or both",
		"{address: '127.0.0.1:8443', token: 'env:T'}":                                             "control.listen.cert: it is missing: the control API is spoken over TLS only",
		"{address: 'localhost:8443', cert: server.pem, key: server.key, client_ca: ca.pem}":       "control.listen.address: expected ADDRESS:PORT with a number for each",
		"{address: '127.0.0.1:0', cert: server.pem, key: server.key, client_ca: ca.pem}":          "control.listen.address: expected ADDRESS:PORT",
		"{cert: server.pem, key: server.key, client_ca: ca.pem}":                                  "control.listen.cert: address is missing beside it",
		"{address: '127.0.0.1:8443', cert: server.pem, key: ca.key, client_ca: ca.pem}":           "control.listen.cert: tls: private key does not match public key",
		"{address: '127.0.0.1:8443', cert: none.pem, key: server.key, client_ca: ca.pem}":         "none.pem: no such file",
		"{address: '127.0.0.1:8443', cert: server.pem, key: server.key, client_ca: server.key}":   "control.listen.client_ca: " + dir + "/server.key: there is no PEM certificate in it",
		"{address: '127.0.0.1:8443', cert: server.pem, key: server.key, token: 'file:short'}":     "control.listen.token: a token has at least",
		"{address: '127.0.0.1:8443', cert: server.pem, key: server.key, token: 'S3cretS3cret12'}": "is not repeated, since it may be a secret",
		"{address: '127.0.0.1:8443', cert: server.pem, key: server.key, tokn: 'env:T'}":           "control.listen.tokn: there is no such key (did you mean token?)",
	} {
		file := filepath.Join(dir, "x.yaml")
		if err := os.WriteFile(file, []byte("control: {listen: "+listen+"}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		out := p.exec("config", "check", file)
		if out.code != 1 || !strings.Contains(out.stdout, want) || strings.Contains(out.stdout, "S3cret") {
			t.Errorf("%s: %+v", listen, out)
		}
	}
}
