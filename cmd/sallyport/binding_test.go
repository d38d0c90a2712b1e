package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
)

// corp is a server that a public CA does not know, and that asks who its clients
// are. It tells what it was sent.
func corp(t *testing.T, dir string) (port int, ca string) {
	t.Helper()
	root := certify(t, dir, "corp-ca", nil, authority)
	server := certify(t, dir, "orders.corp", root, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"orders.corp"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{{Certificate: [][]byte{server.cert.Raw}, PrivateKey: server.key}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := "nobody"
		if cs := r.TLS.PeerCertificates; len(cs) > 0 {
			client = cs[0].Subject.CommonName
		}
		fmt.Fprintf(w, "client=%s host=%s path=%s sni=%s auth=%v\n", client, r.Host, r.URL.Path, r.TLS.ServerName, r.Header["Authorization"])
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().(*net.TCPAddr).Port, root.crt
}

// A binding verifies by its own CA and name, shows its own certificate, carries
// its own credential, and shares no connection with one that says otherwise; and
// in mode sealed there is nothing else: hostile 229.
func TestBindingSettings(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{})
	dir := t.TempDir()
	port, ca := corp(t, dir)
	me := certify(t, dir, "gate", nil, nil)
	other := certify(t, dir, "other-ca", nil, authority)
	door := freePort(t)
	p.env = append(p.env, "TELL="+tokenOne)
	to := fmt.Sprintf("https://127.0.0.1:%d", port)
	s := p.sidecar(t, fmt.Sprintf(`sandboxes:
  - name: box
    mode: sealed
    policy: [strict]
    explicit: {listen: "127.0.0.1:%d", token: "env:TELL"}
    bindings:
      orders.internal: {to: "%[2]s/v1", host: inside, tls: {ca: %[3]s, server_name: orders.corp, client_cert: %[4]s, client_key: %[5]s}}
      plain.internal: {to: "%[2]s", tls: {ca: %[3]s, server_name: orders.corp}}
      untrusted.internal: {to: "%[2]s", tls: {ca: %[6]s, server_name: orders.corp}}
      misnamed.internal: {to: "%[2]s", tls: {ca: %[3]s, server_name: other.corp}}
      unset.internal: %[2]s
      echo.internal: {to: "https://%[7]s/v2", credential: api}
`, door, to, ca, me.crt, me.pkey, other.crt, p.at("api.example.com")))
	own := filepath.Join(dir, "own.pem")
	if err := os.WriteFile(own, []byte(p.exec("ca", "export", "--control", s.control).stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	curl := func(args ...string) string {
		return outside(t, nil, append([]string{"curl", "-sS", "-m", "10", "--cacert", own, "-x", fmt.Sprintf("http://x:%s@127.0.0.1:%d", tokenOne, door)}, args...)...)
	}
	out := curl("https://orders.internal/a", "http://plain.internal/b", "https://orders.internal/c", "https://plain.internal/d")
	for _, want := range []string{
		"client=gate host=orders.internal path=/v1/a sni=orders.corp auth=[]\n", fmt.Sprintf("client=nobody host=127.0.0.1:%d path=/b sni=orders.corp", port),
		"client=gate host=orders.internal path=/v1/c", fmt.Sprintf("client=nobody host=127.0.0.1:%d path=/d", port),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%s\nhas no %s", out, want)
		}
	}
	for _, n := range []string{"untrusted", "misnamed", "unset"} {
		if out := curl("https://" + n + ".internal/"); !strings.Contains(out, "tls_verify") {
			t.Errorf("%s: %s", n, out)
		}
	}
	if out := curl("https://echo.internal/echo"); !strings.Contains(out, "[REDACTED:api]") || !strings.Contains(out, `"Target":"/v2/echo"`) || !strings.Contains(out, `"Host":"`+p.at("api.example.com")) {
		t.Errorf("the binding's credential: %s", out)
	}
	if out := curl("-d", "x=1", "https://echo.internal/echo"); !strings.Contains(out, "default_deny") {
		t.Errorf("what policy does not allow: %s", out)
	}
	for _, u := range []string{p.https("api.example.com", "/echo"), to + "/", "https://orders.internal:8443/"} {
		if out := curl(u); !strings.Contains(out, "sealed") {
			t.Errorf("%s beside the bindings: %s", u, out)
		}
	}
	// What the settings say now is what is asked for now.
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), "plain.internal: {to: \""+to+"\", tls: {ca: "+ca+", server_name: orders.corp}}", "plain.internal: {to: \""+to+"\", tls: {ca: "+ca+", server_name: was.corp}}", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = s.b.cmd.Process.Signal(unix.SIGHUP)
	until(t, "another name", func() bool { return strings.Contains(curl("https://plain.internal/"), "tls_verify") })
	// The same through the API, where a key is not taken.
	bind := "corp.internal=" + to + "/v3,ca=" + ca + ",server_name=orders.corp,host=inside"
	if out := s.enrolled([]string{"--mode", "sealed", "--bind", bind, "--bind", "echo.internal=https://" + p.at("api.example.com") + ",credential=api", "--name", "asked"},
		"curl -sS https://corp.internal/x https://echo.internal/echo"); !strings.Contains(out.stdout, "client=nobody host=corp.internal path=/v3/x") || !strings.Contains(out.stdout, "[REDACTED:api]") {
		t.Errorf("%+v", out)
	}
	if out := s.enrolled([]string{"--bind", bind + ",cert=" + me.crt + ",key=" + me.pkey}, "true"); out.code != 125 || !strings.Contains(out.stderr, "takes no key from elsewhere") {
		t.Errorf("%+v", out)
	}
	client := admin.NewClient(s.control)
	pem, _ := os.ReadFile(ca)
	want := map[string]admin.Binding{"a.internal:443": {To: to}, "b.internal": {To: to + "/x", Host: "inside", TLS: &admin.BindingTLS{CA: string(pem), ServerName: "orders.corp"}}, "pg.internal:5432": {To: "db.corp:5432"}}
	made, err := client.Create(t.Context(), admin.Create{Name: "kept", Bindings: want})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(want)
	if b, _ := json.Marshal(made.Sandbox.Bindings); string(a) != string(b) || !strings.Contains(string(a), `"pg.internal:5432":"db.corp:5432"`) {
		t.Errorf("%s\nbecame %s", a, b)
	}
	for _, b := range []admin.Binding{{To: to, Credential: "nope"}, {To: to, Credential: "api"}, {To: to, Host: "other"}, {To: "http://a.example", TLS: &admin.BindingTLS{ServerName: "x"}}, {To: to, TLS: &admin.BindingTLS{CA: "x"}}} {
		if _, err := client.Create(t.Context(), admin.Create{Name: "wrong", Bindings: map[string]admin.Binding{"x.internal": b}}); err == nil || !strings.Contains(err.Error(), "binding x.internal: ") {
			t.Errorf("%+v: %v", b, err)
		}
	}
	s.stop()
	e := p.find(map[string]string{"event.name": "egress.request.complete", "server.binding": "orders.internal:443"})
	if len(e) != 2 || e[0].Str("upstream.tls.sni") != "orders.corp" {
		t.Errorf("%v", e)
	}
	p.noCanary(output{0, out + s.b.out.String(), ""})
}

// The same settings for a command without a sidecar.
func TestBindFlag(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	dir, err := os.MkdirTemp("", "sallyport-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	_ = os.Chmod(dir, 0o755)
	port, ca := corp(t, dir)
	me := certify(t, dir, "gate", nil, nil)
	to := fmt.Sprintf("orders.internal=https://127.0.0.1:%d/v1", port)
	if out := p.sh([]string{"--bind", to + ",ca=" + ca + ",server_name=orders.corp,cert=" + me.crt + ",key=" + me.pkey}, "curl -sS https://orders.internal/a"); !strings.Contains(out.stdout, "client=gate") {
		t.Errorf("%+v", out)
	}
	if err := os.MkdirAll(filepath.Join(p.dir, "keys"), 0o755); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(me.pkey)
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, "keys", "gate.key"), key, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out := p.sh([]string{"--bind", to + ",ca=" + ca + ",server_name=orders.corp,cert=" + me.crt + ",key=keys/gate.key"}, "curl -sS https://orders.internal/a; cat keys/gate.key"); !strings.Contains(out.stdout, "client=gate") || strings.Contains(out.stdout, "PRIVATE") {
		t.Errorf("a key in the working directory: %+v", out)
	}
	for opts, want := range map[string]string{
		",ca=/nonexistent": "no such file", ",ca": `"ca" says nothing`, ",caa=x": `there is no option "caa"`, ",cert=" + me.crt: "come together", ",credential=x": `there is no credential "x"`,
		",host=there": "expected target or inside", ",cert=" + me.crt + ",key=" + ca: "the client's certificate:", ",server_name=a b": "server_name",
	} {
		if out := p.sh([]string{"--bind", to + opts}, "echo ran"); out.code != 125 || !strings.Contains(out.stderr, want) {
			t.Errorf("%s: %+v", opts, out)
		}
	}
}

// What is wrong with a binding stands at its place.
func TestWrongBindings(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	dir := t.TempDir()
	c := certify(t, dir, "c", nil, nil)
	p.env = append(p.env, "TOKEN="+canary)
	for text, want := range map[string]string{
		`x.internal: {to: "https://a.example", credential: nope}`:                             `4:16: sandboxes[0].bindings.x.internal: there is no credential "nope"`,
		`x.internal: {to: "https://a.example", credential: api}`:                              `the credential "api" is bound to https://api.example.com:443, and the name leads to a.example:443`,
		`x.internal: {to: "http://api.example.com:443", credential: api}`:                     `a credential goes over https only`,
		`"x.internal:1": {to: "a.example:1", credential: api}`:                                `a raw connection has no Host and takes no credential`,
		`"x.internal:1": {to: "a.example:1", tls: {server_name: x}}`:                          `TLS settings are for a target of https`,
		`x.internal: {to: "https://a.example", tls: {ca: none.pem}}`:                          `none.pem: no such file`,
		`x.internal: {to: "https://a.example", tls: {ca: c.key}}`:                             `there is no PEM certificate in ca`,
		`x.internal: {to: "https://a.example", tls: {client_cert: c.crt}}`:                    `a client's certificate and its key come together`,
		`x.internal: {to: "https://a.example", tls: {client_cert: c.crt, client_key: c.crt}}`: `the client's certificate: `,
		`x.internal: {to: "https://a.example", host: here}`:                                   `host "here": expected target or inside`,
		`x.internal: {to: "https://a.example"}, X.internal: "https://b.example"`:              `the name is bound already`,
		`x.internal: ftp://a.example`:                                                         `the scheme "ftp": a target is of http, https or tcp`,
		`x.internal: 10.2.3.4:8443`:                                                           `10.2.3.4:8443 says no scheme: write http://10.2.3.4:8443, https://10.2.3.4:8443, or tcp://10.2.3.4:8443 for raw TCP`,
		`x.internal: "tcp://10.2.3.4"`:                                                        `bindings.x.internal: `,
		`x.internal: "tcp://10.2.3.4:5/x"`:                                                    `bindings.x.internal: `,
		`"x.internal:0": "10.2.3.4:5"`:                                                        `port "0" is not a number from 1 to 65535`,
		`x.internal: {to: "https://a.example", verify: false}`:                                `bindings.x.internal.verify: there is no such key`,
	} {
		f := filepath.Join(dir, "s.yaml")
		if err := os.WriteFile(f, []byte("credentials: [{name: api, source: \"env:TOKEN\", bind: \"https://api.example.com\"}]\nsandboxes:\n  - name: a\n    bindings: {"+text+"}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := p.exec("config", "check", f); out.code != 1 || !strings.Contains(out.stdout, want) || strings.Contains(out.stdout, "NAME") || strings.Contains(out.stdout, "--") {
			t.Errorf("%s\n%s\nwant %s", text, out.stdout, want)
		}
	}
	_ = c
}
