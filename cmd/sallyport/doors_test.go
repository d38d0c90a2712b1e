package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
)

// freePort is a port on loopback that nobody listened on just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A certified is a certificate with its key, in files.
type certified struct {
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
	crt, pkey string
}

// certify makes a certificate for a name, of a CA or of itself.
func certify(t *testing.T, dir, name string, by *certified, change func(*x509.Certificate)) *certified {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true}
	if change != nil {
		change(c)
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	out := &certified{key: key, crt: filepath.Join(dir, name+".crt"), pkey: filepath.Join(dir, name+".key")}
	if out.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for f, b := range map[string]*pem.Block{out.crt: {Type: "CERTIFICATE", Bytes: der}, out.pkey: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(f, pem.EncodeToMemory(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func authority(c *x509.Certificate) {
	c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
}

// outside runs a command where the test runs, as a client of a proxy would.
func outside(t *testing.T, env []string, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir()}, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	return out.String()
}

const (
	tokenOne = "token-of-one-0123456789"
	tokenTwo = "token-of-two-0123456789"
	tokenNew = "newer-of-one-0123456789"
)

// Real clients are taken for the sandbox whose token or certificate they show at
// its own listener, and for none otherwise: hostile 220, 223, 224.
func TestSidecarDoors(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "python3", "python3")
	p := newPlace(t, callers()[0], origin.Options{})
	base := filepath.Dir(p.dir)
	dir := t.TempDir()
	ca := certify(t, dir, "clients-ca", nil, authority)
	pinned, stranger := certify(t, dir, "pinned", nil, nil), certify(t, dir, "stranger", nil, nil)
	late := certify(t, dir, "late", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	named := certify(t, dir, "named", ca, func(c *x509.Certificate) {
		u, _ := url.Parse("spiffe://corp/build/four")
		c.URIs = append(c.URIs, u)
	})
	misnamed := certify(t, dir, "misnamed", ca, func(c *x509.Certificate) { c.DNSNames = []string{"four"} })
	file := filepath.Join(base, "one.token")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, tokenOne+"\n")
	p.env = append(p.env, "TWO="+tokenTwo)
	both, err := os.ReadFile(pinned.crt)
	if err != nil {
		t.Fatal(err)
	}
	old, _ := os.ReadFile(late.crt)
	write(filepath.Join(base, "three.pem"), string(both)+string(old))
	var at [5]int
	for i := range at {
		at[i] = freePort(t)
	}
	entry := func(i int, name, tenant, more string) string {
		return fmt.Sprintf("  - {name: %s, labels: {team: web}, props: {tenant: %s}, policy: [web], explicit: {listen: \"127.0.0.1:%d\", %s}}\n", name, tenant, at[i], more)
	}
	s := p.sidecar(t, "sandboxes:\n"+
		entry(1, "one", "t-1", "token: \"file:one.token\"")+
		entry(2, "two", "t-2", "token: \"env:TWO\", tls_names: [proxy.internal, 127.0.0.1]")+
		entry(3, "three", "t-3", "client_cert: three.pem")+
		entry(4, "four", "t-4", "client_ca: "+ca.crt+", client_name: \"spiffe://corp/build/four\""))
	own := filepath.Join(dir, "own.pem")
	write(own, p.exec("ca", "export", "--control", s.control).stdout)
	u := p.https("api.example.com", "/echo")
	curl := func(args ...string) string {
		return outside(t, nil, append([]string{"curl", "-sS", "-m", "10", "--cacert", own, "--proxy-cacert", own}, args...)...)
	}
	plain := func(i int, token string) []string {
		return []string{"-x", fmt.Sprintf("http://any:%s@127.0.0.1:%d", token, at[i])}
	}
	secure := func(i int, more ...string) []string {
		return append([]string{"-x", fmt.Sprintf("https://127.0.0.1:%d", at[i])}, more...)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"one":                    {plain(1, tokenOne), `"X-Tenant-Id":["t-1"]`},
		"one, plain HTTP":        {append(plain(1, tokenOne), p.http("api.example.com", "/echo")), `"X-Tenant-Id":["t-1"]`},
		"one, bearer":            {append(plain(1, "")[:1], fmt.Sprintf("http://127.0.0.1:%d", at[1]), "--proxy-header", "Proxy-Authorization: Bearer "+tokenOne), `"X-Tenant-Id":["t-1"]`},
		"one, asked first":       {append(plain(1, tokenOne), "--proxy-anyauth"), `"X-Tenant-Id":["t-1"]`},
		"one, without":           {secure(1)[:1:1], ""},
		"one, with two's":        {plain(1, tokenTwo), "407"},
		"two":                    {secure(2, "--proxy-user", "x:"+tokenTwo), `"X-Tenant-Id":["t-2"]`},
		"two, by name":           {[]string{"-x", fmt.Sprintf("https://proxy.internal:%d", at[2]), "--resolve", fmt.Sprintf("proxy.internal:%d:127.0.0.1", at[2]), "--proxy-user", "x:" + tokenTwo}, `"X-Tenant-Id":["t-2"]`},
		"two, by another name":   {[]string{"-x", fmt.Sprintf("https://evil.internal:%d", at[2]), "--resolve", fmt.Sprintf("evil.internal:%d:127.0.0.1", at[2]), "--proxy-insecure", "--proxy-user", "x:" + tokenTwo}, "curl: ("},
		"two, with one's":        {secure(2, "--proxy-user", "x:"+tokenOne), "407"},
		"two, without TLS":       {plain(2, tokenTwo), "curl: ("},
		"three":                  {secure(3, "--proxy-cert", pinned.crt, "--proxy-key", pinned.pkey), `"X-Tenant-Id":["t-3"]`},
		"three, TLS 1.2":         {secure(3, "--proxy-cert", pinned.crt, "--proxy-key", pinned.pkey, "--tls-max", "1.2"), `"X-Tenant-Id":["t-3"]`},
		"three, without":         {secure(3), "curl: ("},
		"three, a stranger's":    {secure(3, "--proxy-cert", stranger.crt, "--proxy-key", stranger.pkey), "curl: ("},
		"three, with four's":     {secure(3, "--proxy-cert", named.crt, "--proxy-key", named.pkey), "curl: ("},
		"three, expired":         {secure(3, "--proxy-cert", late.crt, "--proxy-key", late.pkey), "curl: ("},
		"three, with a token":    {secure(3, "--proxy-user", "x:"+tokenOne), "curl: ("},
		"four":                   {secure(4, "--proxy-cert", named.crt, "--proxy-key", named.pkey), `"X-Tenant-Id":["t-4"]`},
		"four, with three's":     {secure(4, "--proxy-cert", pinned.crt, "--proxy-key", pinned.pkey), "curl: ("},
		"four, under other name": {secure(4, "--proxy-cert", misnamed.crt, "--proxy-key", misnamed.pkey), "curl: ("},
	} {
		if name == "one, without" {
			c.args, c.want = []string{"-x", fmt.Sprintf("http://127.0.0.1:%d", at[1])}, "407"
		}
		if out := curl(append(c.args, u)...); !strings.Contains(out, c.want) || strings.Contains(out, `"X-Tenant-Id"`) != strings.HasPrefix(c.want, `"`) {
			t.Errorf("%s: %s", name, out)
		}
	}
	// What 'ca env' prints is enough for clients that are told nothing else.
	env := p.exec("ca", "env", "--proxy", fmt.Sprintf("http://127.0.0.1:%d", at[1]), "--token", "file:"+file, "--ca", own)
	lines := strings.Split(strings.TrimSpace(env.stdout), "\n")
	if out := outside(t, lines, "curl", "-sS", u); !strings.Contains(out, `"X-Tenant-Id":["t-1"]`) {
		t.Errorf("%s\nwith %v", out, lines)
	}
	if out := outside(t, lines, "python3", "-c", "import urllib.request; print(urllib.request.urlopen('"+u+"').read())"); !strings.Contains(out, `"X-Tenant-Id":["t-1"]`) {
		t.Errorf("%s\nwith %v", out, lines)
	}
	for _, k := range append([]string{"HTTP_PROXY", "https_proxy", "NO_PROXY", "NODE_EXTRA_CA_CERTS"}, trustVariables...) {
		if !strings.Contains("\n"+env.stdout, "\n"+k+"=") {
			t.Errorf("%s is missing in %s", k, env.stdout)
		}
	}
	// A new token is good at once, and the one before it no more; the sandbox stays.
	client := admin.NewClient(s.control)
	before, err := client.Get(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	write(file, tokenNew+"\n")
	_ = s.b.cmd.Process.Signal(unix.SIGHUP)
	until(t, "the new token", func() bool { return strings.Contains(curl(append(plain(1, tokenNew), u)...), "t-1") })
	if out := curl(append(plain(1, tokenOne), u)...); !strings.Contains(out, "407") {
		t.Errorf("the old token: %s", out)
	}
	// Two sandboxes change places: the listeners follow.
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	one, two := fmt.Sprintf("127.0.0.1:%d", at[1]), fmt.Sprintf("127.0.0.1:%d", at[2])
	write(s.config, strings.NewReplacer(one, two, two, one).Replace(string(text)))
	until(t, "a swap", func() bool { return strings.Contains(curl(append(plain(2, tokenNew), u)...), "t-1") })
	if out := curl(append(secure(1, "--proxy-user", "x:"+tokenTwo), u)...); !strings.Contains(out, "t-2") {
		t.Errorf("after a swap: %s", out)
	}
	if st, err := client.Status(t.Context()); err != nil || !st.Ready || len(st.Reasons) > 0 {
		t.Errorf("after a swap: %+v %v", st, err)
	}
	if now, err := client.Get(t.Context(), "one"); err != nil || now.ID != before.ID {
		t.Errorf("%+v %v, before %+v", now, err, before)
	}
	// A listener that cannot be had keeps the configuration before it.
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	write(s.config, strings.Replace(string(text), one, busy.Addr().String(), 1))
	until(t, "a reason", func() bool {
		st, err := client.Status(t.Context())
		return err == nil && strings.Contains(fmt.Sprint(st.Reasons), "another program listens there")
	})
	if out := curl(append(plain(2, tokenNew), u)...); !strings.Contains(out, "t-1") {
		t.Errorf("the configuration before is not in force: %s", out)
	}
	s.stop()
	for name, n := range map[string]int{"one": 8, "two": 2, "three": 2, "four": 1} {
		if got := len(p.find(map[string]string{"event.name": "egress.request.decision", "sandbox.name": name, "sandbox.identity.method": "explicit", "policy.decision": "allow"})); got < n {
			t.Errorf("%s has %d decisions, want %d", name, got, n)
		}
	}
	for _, code := range []string{"proxy_auth_wrong", "proxy_auth_required", "proxy_tls"} {
		if len(p.find(map[string]string{"policy.code": code})) == 0 {
			t.Errorf("no record of %s", code)
		}
	}
	log := fmt.Sprint(p.records()) + s.b.out.String()
	for _, tok := range []string{tokenOne, tokenTwo, tokenNew} {
		if strings.Contains(log, tok) {
			t.Errorf("%s is told", tok)
		}
	}
}

// until waits for something to become true.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 750 {
		if done() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s did not come", what)
}

// What could make one sandbox of two, or lets anybody in, is refused with its place.
func TestWrongDoors(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(filepath.Join(dir, name), mode)
	}
	write("good.token", tokenOne+"\n"+tokenTwo+"\n", 0o600)
	write("short.token", "short", 0o600)
	write("space.token", "a token with spaces in it", 0o600)
	write("empty.token", "\n", 0o600)
	write("open.token", tokenOne, 0o666)
	certify(t, dir, "c", nil, nil)
	for text, want := range map[string]string{
		`listen: "127.0.0.1:3128"`:                                                       `3:24: sandboxes[0].explicit.listen: whoever reaches it would be this sandbox: add token`,
		`listen: "127.0.0.1", token: "file:good.token"`:                                  `sandboxes[0].explicit.listen: expected ADDRESS:PORT`,
		`listen: "localhost:3128", token: "file:good.token"`:                             `explicit.listen: expected ADDRESS:PORT`,
		`listen: "127.0.0.1:0", token: "file:good.token"`:                                `explicit.listen: expected ADDRESS:PORT`,
		`socket: /run/x, token: "file:good.token"`:                                       `explicit.token: it is for a listener on TCP, and there is no listen beside it`,
		`socket: /run/x, client_cert: c.crt`:                                             `explicit.client_cert: it is for a listener on TCP`,
		`listen: "127.0.0.1:3128", token: "` + tokenOne + `"`:                            `explicit.token: expected env:VARIABLE or file:PATH; what stands here is not repeated`,
		`listen: "127.0.0.1:3128", token: "env:NO_SUCH"`:                                 `there is no variable NO_SUCH`,
		`listen: "127.0.0.1:3128", token: "file:none.token"`:                             `none.token: no such file`,
		`listen: "127.0.0.1:3128", token: "file:short.token"`:                            `a token has at least 16 characters`,
		`listen: "127.0.0.1:3128", token: "file:space.token"`:                            `a token has visible ASCII characters only`,
		`listen: "127.0.0.1:3128", token: "file:empty.token"`:                            `there are 0 tokens`,
		`listen: "127.0.0.1:3128", token: "file:open.token"`:                             `everybody may write`,
		`listen: "127.0.0.1:3128", client_cert: none.crt`:                                `none.crt: no such file`,
		`listen: "127.0.0.1:3128", client_cert: c.key`:                                   `there is no PEM certificate in it`,
		`listen: "0.0.0.0:3128", client_cert: c.crt`:                                     `explicit.tls_names: it is missing: by which names is the proxy reached?`,
		`listen: "127.0.0.1:3128", client_ca: c.crt`:                                     `explicit.client_ca: client_name is missing`,
		`listen: "127.0.0.1:3128", client_ca: c.crt, client_name: x, client_cert: c.crt`: `explicit.client_ca: client_cert says already`,
		`listen: "127.0.0.1:3128", token: "file:good.token", client_name: x`:             `explicit.client_name: it says which certificate of client_ca`,
		`listen: "127.0.0.1:3128", token: "file:good.token", tls_names: ["a b"]`:         `explicit.tls_names[0]:`,
		`listen: "127.0.0.1:3128", tokn: x`:                                              `explicit.tokn: there is no such key (did you mean token?)`,
		"listen: \"127.0.0.1:3128\", token: \"file:good.token\"}\n  - name: b\n    explicit: {listen: \"0.0.0.0:3128\", token: \"file:good.token\"":   "a listens there already, on 127.0.0.1:3128: a listener is one sandbox's",
		"listen: \"127.0.0.1:3128\", token: \"file:good.token\"}\n  - name: b\n    explicit: {listen: \"127.0.0.1:3129\", token: \"file:good.token\"": "it is that of a as well: a token is one sandbox's",
	} {
		write("s.yaml", "sandboxes:\n  - name: a\n    explicit: {"+text+"}\n", 0o644)
		out := p.exec("config", "check", filepath.Join(dir, "s.yaml"))
		if out.code != 1 || !strings.Contains(out.stdout, want) || strings.Contains(out.stdout, tokenOne) {
			t.Errorf("%s\n%s\nwant %s", text, out.stdout, want)
		}
	}
	for _, args := range [][]string{{"--proxy", "proxy:3128"}, {"--proxy", "http://a:b@c:1"}, {"--token", "env:X"}, {"--ca", "ca.pem"}, {"--proxy", "http://c:1", "--token", tokenOne}} {
		if out := p.exec(append([]string{"ca", "env"}, args...)...); out.code != 125 || out.stdout != "" || strings.Contains(out.stderr, tokenOne) {
			t.Errorf("%v: %+v", args, out)
		}
	}
}
