package main

import (
	"fmt"

	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

const canary = "canary-T0k3n/0123456789+abcdef"

// The front door: one request is refused with a reason, another goes through
// with a credential that the code inside never sees, and the log proves both.
func TestRefusedAndCredentialed(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		p.env = append(p.env, "TOKEN="+canary)
		out := p.sh([]string{"--allow", p.at("api.example.com"), "--credential", "api=env:TOKEN@" + p.https("api.example.com", "")},
			fmt.Sprintf(`curl -sS %s; echo; curl -sS -w '%%{http_code}' %s; env; cat /proc/self/environ /proc/1/environ 2>/dev/null`, p.https("api.example.com", "/echo"), p.https("other.example.com", "/x")))
		if !strings.Contains(out.stdout, `"Method":"GET"`) || !strings.Contains(out.stdout, "[REDACTED:api]") {
			t.Fatalf("the allowed request: %+v", out)
		}
		if !strings.Contains(out.stdout, "sallyport: default_deny: no rule allows this (decision ") || !strings.Contains(out.stdout, "403") {
			t.Fatalf("the refused request: %+v", out)
		}
		seen := p.origin.Seen()
		if len(seen) != 1 || seen[0].Header.Get("Authorization") != "Bearer "+canary {
			t.Fatalf("the origin saw %+v", seen)
		}
		if !strings.Contains(out.stderr, "1 allowed, 1 refused") || !strings.Contains(out.stderr, "--allow "+p.at("other.example.com")) {
			t.Errorf("the summary: %s", out.stderr)
		}
		p.verified()
		d := p.find(map[string]string{"event.name": "egress.request.decision", "url.domain": "api.example.com", "policy.decision": "allow"})
		if len(d) != 1 {
			t.Fatalf("%d allows are recorded", len(d))
		}
		c := p.find(map[string]string{"event.name": "egress.request.complete", "event.of": d[0].Str("event.id"), "http.response.status_code": "200"})
		if len(c) != 1 || !strings.Contains(string(c[0].Line), `"credential.uses":[{"name":"api","kind":"bearer"`) {
			t.Fatalf("the outcome: %v", c)
		}
		if n := len(p.find(map[string]string{"url.domain": "other.example.com", "policy.decision": "deny", "policy.code": "default_deny"})); n != 1 {
			t.Fatalf("%d denials are recorded", n)
		}
		p.noCanary(out)
	})
}

// noCanary looks for the secret wherever sallyport put anything: hostile 130, 160.
func (p *place) noCanary(outs ...output) {
	p.t.Helper()
	for _, o := range outs {
		if strings.Contains(o.stdout+o.stderr, canary) {
			p.t.Errorf("the secret came out:\n%s\n%s", o.stdout, o.stderr)
		}
	}
	files := 0
	for _, dir := range []string{p.log, p.dir, filepath.Join(filepath.Dir(p.dir), "home")} {
		_ = filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
			if err != nil || !st.Mode().IsRegular() || path == filepath.Join(filepath.Dir(p.dir), "home", "secret") {
				return nil
			}
			files++
			if b, _ := os.ReadFile(path); strings.Contains(string(b), canary) {
				p.t.Errorf("the secret is in %s", path)
			}
			return nil
		})
	}
	if files == 0 {
		p.t.Error("no file was looked at")
	}
}

// hostile 107, 108, 109, 112: however an origin echoes the secret.
func TestEchoes(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		p.env = append(p.env, "TOKEN="+canary)
		var script strings.Builder
		for _, path := range []string{"/echo", "/coded/gzip", "/coded/br", "/coded/zstd", "/split", "/headers"} {
			for _, v := range []string{"--http1.1", "--http2"} {
				fmt.Fprintf(&script, "curl -sS -i %s '%s?a=1'; echo; ", v, p.https("api.example.com", path))
			}
		}
		out := p.sh([]string{"--allow", p.at("api.example.com"), "--credential", "api=env:TOKEN@" + p.https("api.example.com", "")}, script.String())
		if n := strings.Count(out.stdout, "HTTP/"); n < 12 || strings.Count(out.stdout, "[REDACTED:api]") < 14 {
			t.Errorf("%d answers: %+v", n, out)
		}
		for _, r := range p.origin.Seen() {
			if r.Header.Get("Authorization") != "Bearer "+canary || r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("the origin saw %+v", r)
			}
		}
		p.noCanary(out)
	})
}

func TestCredentialFromFile(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		secret := filepath.Join(p.dir, "keys", "secret")
		if err := os.Mkdir(filepath.Dir(secret), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(secret, []byte(canary+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		out := p.sh([]string{"--allow", p.at("api.example.com"), "--credential", "api=file:" + secret + "@" + p.https("api.example.com", "") + ",as=header:X-Api-Key"},
			"ls keys; cat keys/secret; curl -sS -H 'x-api-key: mine' "+p.https("api.example.com", "/echo"))
		if err := os.Remove(secret); err != nil {
			t.Fatal(err)
		}
		if s := p.origin.Seen(); len(s) != 1 || strings.Join(s[0].Header.Values("X-Api-Key"), "|") != canary {
			t.Errorf("%+v %+v", s, out)
		}
		p.noCanary(out)
	})
}

// The exit code, the streams, the directory and the user are the command's own.
func TestTransparentToTheCaller(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		p.stdin = "to be read\n"
		out := p.sh(nil, `read x; echo "$x"; echo err >&2; pwd; id -u; touch made; exit 7`)
		uid := os.Getuid()
		if p.who.uid != 0 {
			uid = p.who.uid
		}
		want := uid
		if want == 0 {
			want = 65534
		}
		if out.code != 7 || out.stdout != fmt.Sprintf("to be read\n%s\n%d\n", p.dir, want) || !strings.Contains(out.stderr, "err\n") {
			t.Errorf("%+v", out)
		}
		st, err := os.Stat(filepath.Join(p.dir, "made"))
		if err != nil || owner(st) != uid {
			t.Errorf("what was made belongs to %d, %v", owner(st), err)
		}
		for argv, code := range map[string]int{"/nonexistent/x": 127, "no-such-command": 127, "/etc/passwd": 126, "kill -TERM $$": 143} {
			args := []string{argv}
			if strings.Contains(argv, " ") {
				args = []string{"/bin/sh", "-c", argv}
			}
			if out := p.run(nil, args...); out.code != code {
				t.Errorf("%s: %+v, want code %d", argv, out, code)
			}
		}
	})
}

// What a run is told wrongly is said before anything runs, all of it, with what
// was expected.
func TestWrongFlags(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	broken := filepath.Join(p.dir, "broken")
	_ = os.Mkdir(broken, 0o755)
	_ = os.WriteFile(filepath.Join(broken, "p.rego"), []byte("package egress\n\nallow if input.requst.method == \"GET\"\n"), 0o644)
	empty := filepath.Join(p.dir, "empty")
	_ = os.Mkdir(empty, 0o755)
	_ = os.WriteFile(filepath.Join(p.dir, "token"), []byte(canary), 0o644)
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--allow", "http://x"}, "--allow \"http://x\": expected a host, not a URL, such as x\n"},
		{[]string{"--allow", "https://x.example:8443/"}, "expected a host, not a URL, such as x.example:8443\n"},
		{[]string{"--allow", "x.example/v1"}, "expected a host, without scheme and path, such as x.example: paths are for a policy to decide about, in Rego"},
		{[]string{"--tcp", "tcp://x.example:22"}, "expected a host, not a URL, such as x.example:22"},
		{[]string{"--parent", "socks5h://10.0.0.1:1080"}, "--parent: socks5h says that the parent looks names up: write socks5, and say that with resolve, parent"},
		{[]string{"--mount", p.dir + ":/etc"}, "the sandbox has a resolv.conf, hosts and certificates of its own in /etc, so nothing can be mounted in place of it"},
		{[]string{"--mount", p.dir + ":/etc/nothere"}, "nothing can be shown at /etc/nothere: it does not exist, and the directory above it is the system's, which is read-only inside"},
		{[]string{"--prop", `x={"id": 7`}, `property x: {"id": 7 begins as JSON and is none: unexpected EOF; a text that begins so stands in quotes`},
		{[]string{"--prop", `x=[1] 2`}, "something stands behind it"},
		{[]string{"--allow", "*"}, "a * stands only at the beginning"},
		{[]string{"--tcp", "db.example.com"}, "expected HOST:PORT"},
		{[]string{"--allow-private", "10.0.0.1/8"}, "did you mean 10.0.0.0/8?"},
		{[]string{"--credential", "x=env:NOPE@https://h.example"}, "there is no such variable"},
		{[]string{"--credential", "x=env:HOME@http://h.example"}, "https only"},
		{[]string{"--bind", "x"}, "expected NAME="},
		{[]string{"--label", "x"}, "expected KEY=VALUE"},
		{[]string{"--mode", "strict"}, "expected enforce, observe or sealed"},
		{[]string{"--policy", broken}, "p.rego:3:10: there is no input.requst (did you mean request?); known in input are destination, request, sandbox\n    3 | allow if input.requst.method == \"GET\"\n      |          ^\n      = write input.request.method\n"},
		{[]string{"--policy", broken}, "sallyport: the policy " + broken + " is not taken, and nothing was run: sallyport policy check " + broken + " says so, too\n"},
		{[]string{"--policy", empty}, "an empty policy is refused"},
		{[]string{"--policy", "/nonexistent"}, "\n/nonexistent: not taken\n"},
		{[]string{"--policy", broken, "--allow", "x.example"}, "say it in Rego"},
		{[]string{"--env", "NOPE"}, "there is no such variable"},
		{[]string{"--resolve", "x"}, "expected HOST=ADDRESS"},
		{[]string{"--mount", "/nonexistent"}, "no such file"},
		{[]string{"--upstream-ca", "/etc/passwd"}, "there is no PEM certificate in it"},
		{[]string{"--nonsense"}, "unknown flag"},
		{[]string{"--credential", "x=file:" + filepath.Join(p.dir, "token") + "@https://h.example"}, "lies in a directory that the command sees"},
		{[]string{"--credential", "x=sk-live-0123456789@https://h.example"}, "is no source; it is not repeated here"},
		{[]string{"--allow", "*", "--tcp", "x", "--mode", "y"}, "expected enforce"},
	} {
		out := p.run(c.flags, "/bin/sh", "-c", "echo ran")
		if out.code != 125 || !strings.Contains(out.stderr, c.want) || strings.Contains(out.stdout, "ran") {
			t.Errorf("%v: %d %s%s\nwant %q", c.flags, out.code, out.stdout, out.stderr, c.want)
		}
	}
}

// hostile 42
func TestUpstreamCertificate(t *testing.T) {
	tool(t, "curl", "curl")
	for name, o := range map[string]origin.Options{"expired": {Expired: true}, "wrong name": {WrongName: true}} {
		p := newPlace(t, callers()[0], o)
		p.env = append(p.env, "TOKEN="+canary)
		out := p.sh([]string{"--allow", p.at("api.example.com"), "--credential", "api=env:TOKEN@" + p.https("api.example.com", "")}, "curl -sS "+p.https("api.example.com", "/"))
		if !strings.Contains(out.stdout, "tls_verify") || len(p.origin.Seen()) != 0 {
			t.Errorf("%s: %+v", name, out)
		}
		if len(p.find(map[string]string{"event.name": "egress.request.complete", "error.type": "tls_verify"})) != 1 {
			t.Errorf("%s: it is not recorded", name)
		}
	}
}

// hostile 1, 8, 9, 11, 12, 13: a name that leads to an address that is not public.
func TestPrivateAddresses(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{})
	args := []string{"run", "--audit", p.log, "--upstream-ca", p.ca}
	var script strings.Builder
	hosts := map[string]string{"loop": "127.0.0.1", "lan": "192.168.1.1", "zero": "0.0.0.0", "cgnat": "100.64.0.1", "meta": "169.254.169.254", "six": "fd00:ec2::254", "mapped": "::ffff:127.0.0.1"}
	for name, addr := range hosts {
		args = append(args, "--resolve", name+".example.com="+addr, "--allow", fmt.Sprintf("%s.example.com:%d", name, p.origin.PlainPort))
		fmt.Fprintf(&script, "curl -sS %s; ", p.http(name+".example.com", "/"))
	}
	for _, lit := range []string{"127.0.0.1", "169.254.169.254", "[::1]", "10.0.0.1"} {
		if strings.HasPrefix(lit, "1") {
			args = append(args, "--allow", fmt.Sprintf("%s:%d", lit, p.origin.PlainPort))
		}
	}
	fmt.Fprintf(&script, "curl -sS http://169.254.169.254:%d/latest/meta-data; curl -sS http://10.0.0.1:%d/", p.origin.PlainPort, p.origin.PlainPort)
	out := p.exec(append(append(args, "--"), "/bin/sh", "-c", script.String())...)
	if n := strings.Count(out.stdout, "address_denied"); n != len(hosts)+2 || len(p.origin.Seen()) != 0 {
		t.Errorf("%d refusals: %+v", n, out)
	}
	if n := len(p.find(map[string]string{"error.type": "address_denied"})); n != len(hosts)+2 {
		t.Errorf("%d are recorded", n)
	}
}

// hostile 32, 36: layers that disagree are answered 421, and nothing is sent.
func TestMisdirected(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		p.env = append(p.env, "TOKEN="+canary)
		url := p.https("api.example.com", "/")
		port := p.origin.TLSPort
		scripts := map[string]string{
			"Host is not SNI":                 fmt.Sprintf("curl -sS -w '%%{http_code}' -H 'Host: other.example.com:%d' %s", port, url),
			"Host is not SNI, h1":             fmt.Sprintf("curl -sS -w '%%{http_code}' --http1.1 -H 'Host: other.example.com:%d' %s", port, url),
			"SNI is not the name handed out":  fmt.Sprintf("curl -sS -w '%%{http_code}' --connect-to api.example.com:%d:other.example.com:%d %s", port, port, url),
			"SNI of an address, another Host": fmt.Sprintf("curl -sS -w '%%{http_code}' --connect-to api.example.com:%d:192.0.2.1:%d -H 'Host: other.example.com:%d' %s", port, port, port, url),
			"another port":                    fmt.Sprintf("curl -sS -w '%%{http_code}' -H 'Host: api.example.com:1' %s", url),
			"CONNECT is not SNI":              fmt.Sprintf("curl -sS -w '%%{http_code}' -x http://127.0.0.1:3128 --connect-to api.example.com:%d:other.example.com:%d %s", port, port, url),
			"CONNECT to an address":           fmt.Sprintf("curl -sS -w '%%{http_code}' -x http://127.0.0.1:3128 --connect-to api.example.com:%d:192.0.2.1:%d %s", port, port, url),
			"CONNECT is not Host":             fmt.Sprintf("curl -sS -w '%%{http_code}' -x http://127.0.0.1:3128 -H 'Host: other.example.com:%d' %s", port, url),
			"plain: Host is not the name":     fmt.Sprintf("curl -sS -w '%%{http_code}' -H 'Host: other.example.com:%d' %s", p.origin.PlainPort, p.http("api.example.com", "/")),
			"plain: Host is another address":  fmt.Sprintf("curl -sS -w '%%{http_code}' -H 'Host: 192.0.2.9:%d' http://192.0.2.1:%d/", p.origin.PlainPort, p.origin.PlainPort),
		}
		for name, s := range scripts {
			out := p.sh([]string{"--allow", p.at("api.example.com"), "--allow", p.at("other.example.com"), "--allow", fmt.Sprintf("api.example.com:%d", p.origin.PlainPort),
				"--credential", "api=env:TOKEN@" + p.https("api.example.com", "")}, s)
			if !strings.HasSuffix(out.stdout, "421") || !strings.Contains(out.stdout, "authority_mismatch") {
				t.Errorf("%s: %+v", name, out)
			}
		}
		if s := p.origin.Seen(); len(s) != 0 {
			t.Errorf("the origin saw %+v", s)
		}
		if n := len(p.find(map[string]string{"policy.code": "authority_mismatch"})); n != len(scripts) {
			t.Errorf("%d of %d are recorded", n, len(scripts))
		}
	})
}

// The ways in meet in one path.
func TestExplicitProxy(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		out := p.sh([]string{"--allow", p.at("api.example.com"), "--allow", fmt.Sprintf("api.example.com:%d", p.origin.PlainPort)},
			fmt.Sprintf("export http_proxy=http://127.0.0.1:3128 https_proxy=http://127.0.0.1:3128; for u in %s %s %s %s; do curl -sS -o /dev/null -w '%%{http_code} ' $u; done",
				p.https("api.example.com", "/a"), p.http("api.example.com", "/b"), p.https("other.example.com", "/c"), p.http("other.example.com", "/d")))
		if out.stdout != "200 200 403 403 " || len(p.origin.Seen()) != 2 {
			t.Errorf("%+v", out)
		}
	})
}

// Streams are not held, hints pass, and what is cut looks cut.
func TestStreams(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		for _, v := range []string{"--http1.1", "--http2"} {
			out := p.sh([]string{"--allow", p.at("api.example.com")}, fmt.Sprintf(`curl -sS -N %[1]s %[2]s; curl -sS -i %[1]s %[3]s | head -1; curl -sS %[1]s %[4]s; echo " code $?"; curl -sS %[1]s -o /dev/null -w '%%{size_download}\n' '%[5]s'; head -c 3000000 /dev/zero | curl -sS %[1]s -H 'Expect: 100-continue' -T - %[6]s`,
				v, p.https("api.example.com", "/stream"), p.https("api.example.com", "/hints"), p.https("api.example.com", "/cut"), p.https("api.example.com", "/large?bytes=20000000"), p.https("api.example.com", "/echo")))
			for _, want := range []string{"data: 0\n\ndata: 1\n\ndata: 2\n\n", " 103", "the beginning", "20000000\n", `"Body":"3000000 bytes"`} {
				if !strings.Contains(out.stdout, want) {
					t.Errorf("%s: %q is not in %+v", v, want, out)
				}
			}
			if strings.Contains(out.stdout, " code 0\n") {
				t.Errorf("%s: a cut answer looks whole: %+v", v, out)
			}
		}
		if len(p.find(map[string]string{"error.type": "truncated"})) != 2 {
			t.Error("cut answers are not recorded")
		}
	})
}

// The bytes of a path reach the origin as they were sent.
func TestPathBytes(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{})
	for _, path := range []string{"/a%2Fb//c?x=%20&a=1&a=", "/b%C3%BCcher;v=1?", "/a%7Eb!$'()*,", "//x/y"} {
		out := p.run([]string{"--allow", p.at("api.example.com")}, "curl", "-sS", "--path-as-is", "-g", p.https("api.example.com", path))
		s := p.origin.Seen()
		if len(s) == 0 || s[len(s)-1].Target != path {
			t.Errorf("%s: %+v %+v", path, s, out)
		}
	}
}

func TestPolicyAndBinding(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		pol := filepath.Join(filepath.Dir(p.dir), "policy")
		_ = os.Mkdir(pol, 0o755)
		_ = os.WriteFile(filepath.Join(pol, "p.rego"), []byte(`package egress

allow if {
	input.destination.host == "orders.internal"
	input.request.method == "GET"
}

deny contains {"code": "no_admin", "public": "the admin API is closed", "operator": "runbook 7"} if input.request.segments[0] == "admin"

set_headers contains {"name": "X-Tenant-Id", "value": input.sandbox.props.tenant_id}

requires_props contains "tenant_id"

respond := {"status": 418, "body": "short and stout"} if input.request.path == "/tea"
`), 0o644)
		flags := []string{"--policy", pol, "--prop", "tenant_id=t1", "--label", "team=web", "--bind", fmt.Sprintf("orders.internal=https://127.0.0.1:%d/v1", p.origin.TLSPort)}
		out := p.sh(flags, `curl -sS -H 'X-Tenant-Id: evil' http://orders.internal/a; curl -sS https://orders.internal/admin/x; curl -sS -X POST -d x http://orders.internal/a; curl -sS -w '%{http_code}' http://orders.internal/tea; ls `+pol)
		for _, want := range []string{`"Target":"/v1/a"`, "no_admin: the admin API is closed", "default_deny", "short and stout418"} {
			if !strings.Contains(out.stdout, want) {
				t.Errorf("%q is not in %+v", want, out)
			}
		}
		s := p.origin.Seen()
		if len(s) != 1 || strings.Join(s[0].Header.Values("X-Tenant-Id"), "|") != "t1" {
			t.Errorf("the origin saw %+v", s)
		}
		if strings.Contains(out.stdout, "runbook") || len(p.find(map[string]string{"policy.operator": "runbook 7"})) != 1 {
			t.Error("the operator's reason is for the operator")
		}
		if out := p.sh([]string{"--policy", pol}, "true"); out.code != 125 || !strings.Contains(out.stderr, "--prop tenant_id=VALUE") {
			t.Errorf("a missing property: %+v", out)
		}
	})
}

func TestModes(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		out := p.sh([]string{"--mode", "observe"}, "curl -sS -o /dev/null -w '%{http_code}' "+p.https("api.example.com", "/"))
		if out.stdout != "200" || len(p.find(map[string]string{"policy.would_deny": "default_deny", "enforcement.action": "observed"})) != 1 {
			t.Errorf("observe: %+v", out)
		}
		out = p.sh([]string{"--mode", "sealed", "--bind", fmt.Sprintf("orders.internal=https://127.0.0.1:%d", p.origin.TLSPort)},
			"curl -sS -o /dev/null -w '%{http_code} ' http://orders.internal/; curl -sS -m 5 "+p.https("api.example.com", "/")+"; curl -sS -m 5 http://192.0.2.1/")
		if !strings.HasPrefix(out.stdout, "200 ") || !strings.Contains(out.stderr, "Could not resolve host") || !strings.Contains(out.stdout, "sealed: nothing but bound names exists") {
			t.Errorf("sealed: %+v", out)
		}
	})
}
