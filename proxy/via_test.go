package proxy_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"sallyport/dest"
	"sallyport/proxy"
	"sallyport/sandbox"
)

const viaPolicy = `package egress

allow if true

rewrite := {"scheme": "http", "host": sprintf("127.0.0.1:%v", [input.sandbox.props.port])} if input.request.path == "/rewritten"

credentials contains "api" if input.destination.host == "api.example.com"
`

// carried opens a sandbox whose traffic to *.example.com goes to a service.
func (r *rig) carried(service string, sb *sandbox.Sandbox) (addr string) {
	r.t.Helper()
	to, err := dest.ParseAddr(service)
	if err != nil {
		r.t.Fatal(err)
	}
	match, err := dest.ParsePattern("*.example.com")
	if err != nil {
		r.t.Fatal(err)
	}
	sb.ID, sb.Name, sb.Policy = sandbox.NewID(), "carried", []string{"test"}
	sb.Props = map[string]any{"port": to.Port()}
	sb.Vias = []sandbox.Via{{Match: match, Target: to, TargetScheme: "http", PathPrefix: "/in", Key: sandbox.NewSigningKey([]byte(strings.Repeat("k", 32)))}}
	r.gate = r.srv.Open(sb, r.decider, nil)
	d := proxy.NewDoor(proxy.Asks{Tokens: tokens(doorToken)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	go func() { _ = r.gate.ServeDoor(l, d) }()
	return l.Addr().String()
}

// hostile 226, 227: what a sandbox says of itself does not reach the operator's
// service, and the service is reached by nothing but what it carries.
func TestViaCarries(t *testing.T) {
	r := newRig(t, rigging{policy: viaPolicy, private: []netip.Prefix{}})
	got := make(chan *http.Request, 10)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		got <- q
		if q.URL.Path == "/in/redirected" {
			w.Header().Set("Location", "http://"+q.Host+"/in/own")
			w.WriteHeader(http.StatusFound)
			return
		}
		fmt.Fprint(w, "carried")
	}))
	defer service.Close()
	at := service.Listener.Addr().String()
	addr := r.carried(at, &sandbox.Sandbox{Mode: sandbox.Enforce})
	say := func(url string, more ...string) (int, string) {
		t.Helper()
		host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
		resp, body, _ := r.say(addr, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n%s\r\n", url, host, doorToken, strings.Join(append(more, ""), "\r\n")))
		return resp.StatusCode, body + resp.Header.Get("Location")
	}
	code, body := say("http://api.example.com/x%2Fy?q=1", "Sallyport-Context: :eyJ2IjoxfQ==:", "Sallyport_Context: forged", "Signature: sallyport=:Zm9yZ2Vk:", "Signature-Input: sallyport=()", "signature_input: forged", "Forwarded: host=forged", "Content-Digest: sha-256=:Zm9yZ2Vk:")
	if code != 200 || body != "carried" {
		t.Fatalf("%d %s", code, body)
	}
	q := <-got
	if q.RequestURI != "/in/x%2Fy?q=1" || q.Host != at || q.Header.Get("Forwarded") != `host="api.example.com";proto=http` || len(q.Header["Signature"]) != 1 || len(q.Header["Sallyport-Context"]) != 1 {
		t.Errorf("%s %s %v", q.RequestURI, q.Host, q.Header)
	}
	for k, vs := range q.Header {
		if strings.Contains(fmt.Sprint(vs), "forged") || strings.Contains(fmt.Sprint(vs), "Zm9yZ2Vk") || strings.Contains(k, "_") || strings.Contains(fmt.Sprint(vs), secret) {
			t.Errorf("%s: %v", k, vs)
		}
	}
	if code, body := say("http://api.example.com/redirected"); code != 302 || !strings.HasSuffix(body, "/in/own") {
		t.Errorf("%d %s", code, body)
	}
	<-got
	for _, u := range []string{"http://" + at + "/in/own", "http://elsewhere.test/rewritten", "http://api.example.com/rewritten"} {
		if code, body := say(u); code != 403 || !strings.Contains(body, "address_denied") {
			t.Errorf("%s: %d %s", u, code, body)
		}
	}
	if len(got) != 0 {
		t.Errorf("%s reached the service", (<-got).URL)
	}
	e := r.found(map[string]string{"event.name": "egress.request.decision", "server.via": "http://" + at})
	if len(e) < 2 || !strings.Contains(fmt.Sprint(e[0].Fields["credential.uses"]), "withheld") {
		t.Errorf("%v", e)
	}
}

// In mode sealed what a service carries exists, and nothing else; and it is not
// reached around the service.
func TestViaSealed(t *testing.T) {
	r := newRig(t, rigging{policy: "package egress.connect\n\nallow := true\n\nopaque := true\n"})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "carried") }))
	defer service.Close()
	addr := r.carried(service.Listener.Addr().String(), &sandbox.Sandbox{Mode: sandbox.Sealed})
	for name, exists := range map[string]bool{"api.example.com": true, "a.b.example.com": true, "example.com": false, "elsewhere.test": false} {
		h, err := dest.ParseHost(name)
		if err != nil {
			t.Fatal(err)
		}
		if r.gate.Exists(h) != exists {
			t.Errorf("%s exists: %v", name, !exists)
		}
	}
	for host, code := range map[string]string{r.at("api.example.com"): "via_opaque", r.at("elsewhere.test"): "sealed"} {
		_, _, c := r.say(addr, fmt.Sprintf("CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: Bearer %[2]s\r\n\r\n", host, doorToken))
		fmt.Fprint(c, "SSH-2.0-x\r\n")
		if n, err := c.Read(make([]byte, 10)); err == nil {
			t.Errorf("%s: %d bytes came back", host, n)
		}
		if len(r.found(map[string]string{"policy.code": code})) != 1 {
			t.Errorf("no record of %s", code)
		}
	}
	if n := len(r.origin.Seen()); n != 0 {
		t.Errorf("the origin saw %d requests", n)
	}
}
