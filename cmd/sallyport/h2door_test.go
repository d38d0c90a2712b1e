package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// doorClient asks by way of a proxy to which it speaks HTTP/2, in tunnels beside each
// other and without one.
const doorClient = `
const http2 = require("http2"), https = require("https"), tls = require("tls"), fs = require("fs");
const [at, own, token, tlsPort, plainPort, rawPort] = process.argv.slice(2);
const auth = {"proxy-authorization": "Basic " + Buffer.from("x:" + token).toString("base64")};
const ca = fs.readFileSync(own);
const proxy = http2.connect("https://" + at, {ca});
proxy.on("error", e => console.log("proxy", e.message));
const end = s => new Promise(done => { let b = ""; s.setEncoding("utf8"); s.on("data", d => b += d); s.on("end", () => done(b)); s.on("error", e => done(b + " " + e.message)); });
const open = (authority, more = auth) => new Promise(done => {
  const s = proxy.request({":method": "CONNECT", ":authority": authority, ...more}, {endStream: false});
  s.on("response", h => done([h[":status"], s]));
  s.on("error", e => done([e.code + " " + e.message, s]));
});
const get = async (host, path) => {
  const [status, s] = await open(host + ":" + tlsPort);
  if (status != 200) return status;
  return new Promise(done => https.get({host, path, createConnection: () => tls.connect({socket: s, servername: host, ca}), headers: {host: host + ":" + tlsPort}},
    async r => done(r.statusCode + " " + await end(r))).on("error", e => done("failed " + e.message)));
};
(async () => {
  const all = await Promise.all([..."12345678"].map(i => get("api.example.com", "/echo?" + i)));
  console.log("tunnels", all.filter(a => a.startsWith("200") && a.includes('"X-Tenant-Id":["t-1"]')).length);
  console.log("refused", await get("other.example.com", "/"));
  const plain = async (scheme, host) => { const s = proxy.request({":method": "GET", ":scheme": scheme, ":authority": host + ":" + plainPort, ":path": "/echo?a=%2F", ...auth}); const status = new Promise(d => s.on("response", h => d(h[":status"]))); return await status + " " + await end(s); };
  console.log("plain", await plain("http", "api.example.com"), "|", await plain("http", "other.example.com"), "|", await plain("https", "api.example.com"));
  const [status, raw] = await open("raw.internal:" + rawPort);
  raw.end("what was said");
  console.log("raw", status, await end(raw));
  console.log("no port", (await open("api.example.com"))[0]);
  try { proxy.request({":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":authority": "api.example.com", ":path": "/", ...auth}).on("error", e => console.log("extended", e.message)).on("response", h => console.log("extended", h)); } catch (e) { console.log("extended", e.message); }
  await new Promise(d => setTimeout(d, 300));
  console.log("no token", (await open("api.example.com:" + tlsPort, {}))[0]);
  proxy.destroy();
})();
`

// A client that speaks HTTP/2 with its proxy: what it asks for in tunnels and without
// one is decided as over HTTP/1, and what is ended on one side goes on on the other.
func TestHTTP2Proxy(t *testing.T) {
	tool(t, "node", "nodejs")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		base := filepath.Dir(p.dir)
		p.env = append(p.env, "ONE="+tokenOne)
		web := filepath.Join(base, "policies", "web")
		if err := os.MkdirAll(web, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(web, "raw.rego"), []byte("package egress.connect\n\nraw if input.destination.host == \"raw.internal\"\n\nallow if raw\n\nopaque if raw\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		at, raw := fmt.Sprintf("127.0.0.1:%d", freePort(t)), answersAtEnd(t)
		s := p.sidecar(t, fmt.Sprintf("sandboxes:\n  - {name: one, labels: {team: web}, props: {tenant: t-1}, policy: [web], explicit: {listen: %q, token: \"env:ONE\", tls_names: [127.0.0.1]}, bindings: {\"raw.internal:5432\": \"127.0.0.1:%d\"}}\n", at, raw))
		own, script := filepath.Join(base, "own.pem"), filepath.Join(base, "door.js")
		for file, text := range map[string]string{own: p.exec("ca", "export", "--control", s.control).stdout, script: doorClient} {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out := outside(t, nil, "node", script, at, own, tokenOne, fmt.Sprint(p.origin.TLSPort), fmt.Sprint(p.origin.PlainPort), "5432")
		for _, want := range []string{"tunnels 8\n", "refused 403 sallyport: default_deny", "plain 200 {", `"X-Tenant-Id":["t-1"]`, "| 403 sallyport: default_deny", "| 400 sallyport: scheme_invalid", "raw 200 you said what was said\n", "no port 400\n", "extended ", "no token 407\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in %s", want, out)
			}
		}
		s.stop()
		for want, n := range map[string]int{"allow": 9, "deny": 5} {
			if got := len(p.find(map[string]string{"event.name": "egress.request.decision", "sandbox.name": "one", "policy.decision": want})); got != n {
				t.Errorf("%d decisions are %s, want %d", got, want, n)
			}
		}
		for code := range map[string]bool{"authority_invalid": true, "proxy_auth_required": true, "scheme_invalid": true} {
			if len(p.find(map[string]string{"policy.code": code})) != 1 {
				t.Errorf("no record of %s", code)
			}
		}
		if got := p.find(map[string]string{"event.name": "egress.tunnel.close", "event.outcome": "success"}); len(got) != 1 || got[0].Int("bytes.client_in") != 13 || got[0].Int("bytes.client_out") != 22 {
			t.Errorf("%v", got)
		}
		p.noCanary(output{0, out, ""})
	})
}

// answersAtEnd serves connections to which it says what was said, once all was. It
// returns at which port.
func answersAtEnd(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if b, err := io.ReadAll(c); err == nil {
					fmt.Fprintf(c, "you said %s", b)
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
