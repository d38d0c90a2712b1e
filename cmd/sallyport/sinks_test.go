package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/origin"
)

// drain is a receiver of NDJSON that can be away.
type drain struct {
	addr string
	srv  *http.Server
	mu   sync.Mutex
	got  bytes.Buffer
}

func (d *drain) begin(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	d.addr = l.Addr().String()
	d.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Authorization") != "Bearer "+canary {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.got.Write(b)
	})}
	go func() { _ = d.srv.Serve(l) }()
	t.Cleanup(func() { _ = d.srv.Close() })
}

func (d *drain) has(text string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Contains(d.got.String(), text)
}

// What sandboxes do arrives at the sinks, also what they did while a sink was away;
// a sink that is required and away makes the sidecar unready, and holds no request up.
func TestSinks(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		s.stop()
		d := &drain{addr: "127.0.0.1:0"}
		d.begin(t)
		copies := filepath.Join(filepath.Dir(p.dir), "state", "copies")
		if err := os.MkdirAll(copies, 0o755); err != nil {
			t.Fatal(err)
		}
		if p.who.uid != 0 {
			_ = os.Chown(copies, p.who.uid, p.who.uid)
		}
		denied := filepath.Join(copies, "denied.ndjson")
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		with := strings.Replace(string(text), "audit: {dir: "+p.log+"}", fmt.Sprintf(`audit:
  dir: %s
  sinks:
    - {name: siem, http: {url: "http://%s/in", token: env:TOKEN}, required: true}
    - {name: denied, file: %s, decisions: [deny]}`, p.log, d.addr, denied), 1)
		if err := os.WriteFile(s.config, []byte(with), 0o644); err != nil {
			t.Fatal(err)
		}
		if o := p.exec("config", "check", s.config); o.code != 0 {
			t.Fatal(o)
		}
		s.begin()
		ask := func(path string) {
			out := s.enrolled([]string{"--label", "team=web", "--prop", "tenant=t1", "--name", "box"}, "curl -sS "+p.https("api.example.com", path)+"; curl -sS -X POST "+p.https("other.example.com", path))
			if out.code != 0 {
				t.Fatal(out)
			}
		}
		until := func(what string, f func() bool) {
			t.Helper()
			for range 1000 {
				if f() {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatal(what)
		}
		status := func() admin.Status {
			st, err := admin.NewClient(s.control).Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		ask("/first")
		until("the first records do not arrive", func() bool { return d.has(`"url.path":"/first"`) })
		_ = d.srv.Close()
		ask("/second") // is carried all the same
		until("nobody says that the sink is away", func() bool { return !status().Ready })
		if st := status(); !strings.Contains(fmt.Sprint(st.Reasons), "the sink siem gets no records") || strings.Contains(fmt.Sprint(st), canary) {
			t.Error(st.Reasons)
		}
		d.begin(t)
		until("what was done meanwhile does not arrive", func() bool { return d.has(`"url.path":"/second"`) })
		until("the sidecar is not ready again", func() bool { return status().Ready })
		s.stop()
		if !d.has(`"event.name":"egress.audit.closed"`) || !d.has(`"detail.state":"failing"`) || d.has(canary) {
			t.Error("the end, or what happened to the sink, is not in it")
		}
		b, err := os.ReadFile(denied)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range bytes.Lines(b) {
			var r map[string]any
			if json.Unmarshal(line, &r) != nil || r["policy.decision"] != "deny" {
				t.Errorf("%s", line)
			}
			n++
		}
		if n < 2 {
			t.Errorf("%d refusals were copied", n)
		}
		for wrong, want := range map[string]string{
			`{name: A, file: stdout}`: "small letters",
			`{name: a}`:               "expected one of file, syslog, http",
			`{name: a, file: stdout, loki: {url: "https://l"}}`:                  "found 2",
			`{name: a, file: stdout, decisions: [denied]}`:                       "expected allow, deny, error or respond",
			`{name: a, file: stdout, events: [foo]}`:                             "expected the event.name",
			`{name: a, file: /nope/x}`:                                           "no such file",
			`{name: a, syslog: {address: "udp://x:514"}}`:                        "expected tcp://HOST:PORT",
			`{name: a, syslog: {address: "tcp://x:514", tls: {server_name: y}}}`: "tcp:// has no TLS",
			`{name: a, http: {url: "https://u:p@x/"}}`:                           "has a user or a password in it",
			`{name: a, http: {url: "http://siem.example/", token: env:TOKEN}}`:   "over https only",
			`{name: a, http: {url: "https://x/", key: env:NOPE}}`:                "there is no variable NOPE",
			`{name: a, elasticsearch: {url: "https://x/"}}`:                      "index is missing",
			`{name: a, splunk: {url: "https://x/"}}`:                             "token is missing",
		} {
			if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), "audit: {dir: "+p.log+"}", "audit:\n  dir: "+p.log+"\n  sinks: ["+wrong+"]", 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			if o := p.exec("config", "check", s.config); o.code != 1 || !strings.Contains(o.stdout, want) {
				t.Errorf("%s: %q, want %q", wrong, o.stdout, want)
			}
		}
	})
}
