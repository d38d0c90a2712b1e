package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// answersOf are what came of commands that a script ran, by their names.
func answersOf(out output) map[string]string {
	said := map[string]string{}
	for a := range strings.SplitSeq(out.stdout, "== ") {
		k, v, _ := strings.Cut(a, "\n")
		said[k] = v
	}
	return said
}

// hostile 96: an allowed host does not answer names, however it is asked.
func TestDNSOverHTTPSIsRefused(t *testing.T) {
	tool(t, "curl", "curl")
	query := []byte("\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01")
	q := base64.RawURLEncoding.EncodeToString(query)
	each(t, origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("X-Answer"))
		fmt.Fprintf(w, "answered")
	})}, func(t *testing.T, p *place) {
		if err := os.WriteFile(filepath.Join(p.dir, "q"), query, 0o644); err != nil {
			t.Fatal(err)
		}
		const refused, answered = "sallyport: dns_over_https: ", "answered"
		cases := map[string][2]string{
			"post":            {"-H 'Content-Type: application/dns-message' --data-binary @q $U/x", refused},
			"post, parameter": {"-H 'Content-Type: Application/DNS-Message; a=b' --data-binary @q $U/x", refused},
			"oblivious":       {"-H 'Content-Type: application/oblivious-dns-message' --data-binary @q $U/proxy", refused},
			"accept":          {"-H 'Accept: text/html, application/dns-message;q=0.9' $U/x", refused},
			"json":            {"-H 'Accept: application/dns-json' \"$U/resolve?name=example.com\"", refused},
			"path":            {"$U/dns-query", refused},
			"path, encoded":   {"$U/a/DNS%2Dquery/b", refused},
			"parameter":       {"\"$U/any?x=1&dns=" + q + "\"", refused},
			"parameter, pad":  {"\"$U/any?dns=" + q + "%3D%3D\"", refused},
			"only the answer": {"-H 'X-Answer: application/dns-message' --data-binary @q $U/x", refused},
			"over h1":         {"--http1.1 $U/dns-query", refused},
			"plain":           {"$V/dns-query", refused},
			"another path":    {"$U/dns-query-log", answered},
			"another dns":     {"\"$U/zones?dns=example.com\"", answered},
			"another type":    {"-H 'Content-Type: application/octet-stream' --data-binary @q $U/x", answered},
			"bound":           {"-H 'Content-Type: application/dns-message' -H 'X-Answer: application/dns-message' --data-binary @q http://resolver.internal/dns-query", answered},
		}
		script := ""
		for name, c := range cases {
			script += fmt.Sprintf("echo '== %s'; curl -sS %s\n", name, c[0])
		}
		said := answersOf(p.sh([]string{"--allow", p.at("api.example.com"), "--allow", fmt.Sprintf("api.example.com:%d", p.origin.PlainPort), "--bind", fmt.Sprintf("resolver.internal=http://127.0.0.1:%d", p.origin.PlainPort),
			"--env", "U=" + p.https("api.example.com", ""), "--env", "V=" + p.http("api.example.com", "")}, script))
		for name, c := range cases {
			if !strings.Contains(said[name], c[1]) {
				t.Errorf("%s: %q, want %q", name, said[name], c[1])
			}
		}
		// DNS over TLS is no HTTP, and its name in ALPN is none that is spoken.
		out := p.run([]string{"--allow", p.at("api.example.com")}, "/usr/bin/python3", "-c", fmt.Sprintf(`
import socket, ssl
for alpn in ([], ["dot"]):
    try:
        x = ssl.create_default_context()
        if alpn: x.set_alpn_protocols(alpn)
        c = x.wrap_socket(socket.create_connection(("api.example.com", %d), 20), server_hostname="api.example.com")
        q = open("q", "rb").read(); c.sendall(len(q).to_bytes(2, "big") + q)
        print(alpn, c.recv(100)[:12])
    except OSError as e: print(alpn, type(e).__name__)
`, p.origin.TLSPort))
		if !strings.Contains(out.stdout, "[] b'HTTP/1.1 400") || !strings.Contains(out.stdout, "['dot'] SSLError") && !strings.Contains(out.stdout, "['dot'] ConnectionResetError") {
			t.Errorf("%+v", out)
		}
	})
}

// hostile 26: whoever asks a proxy for a port of another protocol is told no where
// no rule opens it; one that grants bytes, or TLS unread, does, and HTTP never goes
// to it.
func TestPortsOfOthers(t *testing.T) {
	tool(t, "curl", "curl")
	others := []int{22, 25, 853, 3306}
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		const connect = "curl -sS -v -p -x http://127.0.0.1:3128 http://api.example.com:%[1]d/ 2>&1"
		script := fmt.Sprintf("echo '== web'; curl -sS -p -x http://127.0.0.1:3128 %s 2>&1\n", p.http("api.example.com", "/echo"))
		var flags []string
		for _, port := range append(others, p.origin.PlainPort) {
			flags = append(flags, "--allow", fmt.Sprintf("api.example.com:%d", port))
		}
		for _, port := range append(others, 143) {
			script += fmt.Sprintf("echo '== connect %[1]d'; "+connect+"\necho '== socks %[1]d'; curl -sS --socks5-hostname 127.0.0.1:3128 http://api.example.com:%[1]d/ 2>&1\n", port)
		}
		for _, port := range others {
			script += fmt.Sprintf("echo '== direct %[1]d'; curl -sS http://api.example.com:%[1]d/\necho '== told %[1]d'; curl -sS -x http://127.0.0.1:3128 http://api.example.com:%[1]d/\n", port)
		}
		out := p.sh(append(flags, "--tcp", "api.example.com:143"), script)
		said := answersOf(out)
		for _, port := range others {
			for how, want := range map[string]string{"connect": "< HTTP/1.1 403 Forbidden", "socks": "(2)", "direct": "sallyport: port_denied: ", "told": "sallyport: port_denied: "} {
				if a := said[fmt.Sprintf("%s %d", how, port)]; !strings.Contains(a, want) {
					t.Errorf("%s %d: %q", how, port, a)
				}
			}
		}
		if a := said["connect 143"]; !strings.Contains(a, "< HTTP/1.1 200 ") {
			t.Errorf("what is granted: %q", a)
		}
		if a := said["socks 143"]; strings.Contains(a, "(2)") {
			t.Errorf("what is granted: %q", a)
		}
		if !strings.Contains(said["web"], `"Target":"/echo"`) || len(p.origin.Seen()) != 1 {
			t.Errorf("%v", said)
		}
		for name, fields := range map[string]map[string]string{"connect": {"http.request.method": "CONNECT"}, "socks": {"event.name": "egress.tunnel.decision"}, "HTTP": {"http.request.method": "GET"}} {
			fields["policy.code"] = "port_denied"
			if n := len(p.find(fields)); n < len(others) {
				t.Errorf("%s: %d are recorded", name, n)
			}
		}
		if !strings.Contains(out.stderr, "refused  tcp api.example.com:25 ×2  port_denied") || !strings.Contains(out.stderr, "(allow it: --tcp api.example.com:25)") {
			t.Errorf("the summary: %s", out.stderr)
		}
		pol := filepath.Join(filepath.Dir(p.dir), "policy")
		_ = os.Mkdir(pol, 0o755)
		_ = os.WriteFile(filepath.Join(pol, "p.rego"), []byte("package egress.connect\n\nallow if input.destination.port in {22, 993}\n\nopaque if input.destination.port == 22\n"), 0o644)
		script = ""
		for _, port := range []int{22, 993, 25} {
			script += fmt.Sprintf("echo '== %[1]d'; "+connect+"\n", port)
		}
		said = answersOf(p.sh([]string{"--policy", pol}, script))
		for port, want := range map[string]string{"22": "200 ", "993": "200 ", "25": "403 Forbidden"} {
			if !strings.Contains(said[port], "< HTTP/1.1 "+want) {
				t.Errorf("%s: %q, want %s", port, said[port], want)
			}
		}
		p.verified()
	})
}

// hostile 90: one request by every form in which HTTP comes is one decision.
func TestEveryFormIsDecidedAlike(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{H2C: true})
	pol := filepath.Join(filepath.Dir(p.dir), "policy")
	_ = os.Mkdir(pol, 0o755)
	_ = os.WriteFile(filepath.Join(pol, "p.rego"), []byte(`package egress

allow if input.destination.host == "api.example.com"

deny contains "admin_closed" if input.request.segments[0] == "admin"
`), 0o644)
	forms := map[string]string{
		"plain": "V", "plain, 1.0": "--http1.0 V", "h2c": "--http2-prior-knowledge V", "an upgrade": "--http2 V", "told": "-x http://127.0.0.1:3128 V",
		"told, connect": "-p -x http://127.0.0.1:3128 V", "told, connect, h2c": "-p --http2-prior-knowledge -x http://127.0.0.1:3128 V", "socks": "--socks5-hostname 127.0.0.1:3128 V",
		"TLS": "--http1.1 U", "TLS, h2": "--http2 U", "TLS, told": "-x http://127.0.0.1:3128 U", "TLS, socks": "--socks5-hostname 127.0.0.1:3128 U",
	}
	script := ""
	for name, args := range forms {
		ask := func(what, host, path string) {
			script += fmt.Sprintf("echo '== %s %s'; curl -sS %s\n", name, what, strings.NewReplacer("U", p.https(host, path), "V", p.http(host, path)).Replace(args))
		}
		for _, path := range []string{"/ok", "/admin/x", "/%61dmin/x"} {
			ask(path, "api.example.com", path)
		}
		ask("other", "other.example.com", "/ok")
	}
	out := p.sh([]string{"--policy", pol}, script)
	said := answersOf(out)
	for name := range forms {
		for path, want := range map[string]string{"/ok": `"Target":"/ok"`, "/admin/x": "sallyport: admin_closed", "/%61dmin/x": "sallyport: admin_closed", "other": "sallyport: default_deny"} {
			if a := said[name+" "+path]; !strings.Contains(a, want) {
				t.Errorf("%s %s: %q, want %q", name, path, a, want)
			}
		}
	}
	if n := len(p.origin.Seen()); n != len(forms) {
		t.Errorf("%d arrived: %s", n, out.stderr)
	}
}
