package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// A stalling is how a connection is begun, and not ended.
type stalling struct {
	Port    int    // 3128 is the proxy's
	First   string // or "hello", for the first message of TLS
	Drip    string // what follows, a byte each quarter of a second; "itself" sends First so
	TLS     bool
	Connect string // asks the proxy for this before
	want    string // in what comes back
}

// stallingPython begins many connections at once and prints of each how it ended and what came back.
const stallingPython = `
import json, socket, ssl, sys, threading, time
out = {}
def hello():
    o = ssl.MemoryBIO()
    c = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), o, server_hostname="api.example.com")
    try: c.do_handshake()
    except ssl.SSLWantReadError: return o.read()
def run(name, Port, First, Drip, TLS, Connect):
    c = socket.create_connection(("127.0.0.1" if Port == 3128 else "api.example.com", Port), 60)
    if Connect:
        c.sendall(f"CONNECT {Connect} HTTP/1.1\r\nHost: {Connect}\r\n\r\n".encode())
        c.recv(4096)
    if TLS: c = ssl.create_default_context().wrap_socket(c, server_hostname="api.example.com")
    first = hello() if First == "hello" else First.encode("latin-1")
    first, drip = (first[:1], first[1:]) if Drip == "itself" else (first, Drip.encode())
    until, said, how = time.monotonic() + 40, b"", "waits on"
    try:
        c.sendall(first)
        c.settimeout(0.25)
        while time.monotonic() < until:
            try:
                b = c.recv(4096)
                if not b: how = "end"; break
                said += b
            except TimeoutError:
                if drip: c.sendall(drip[:1]); drip = drip[1:]
    except OSError as e: how = "end"
    out[name] = [how, said.decode("latin-1")]
ts = [threading.Thread(target=run, args=[n], kwargs=a) for n, a in json.load(open(sys.argv[1])).items()]
for t in ts: t.start()
for t in ts: t.join()
print(json.dumps(out))
`

// hostile 134: whatever is begun and not gone on with ends by itself: heads, TLS and
// SOCKS handshakes, CONNECT, bodies, also those that nobody
// reads any more. Meanwhile others are served.
func TestSlowClientsEnd(t *testing.T) {
	tool(t, "python3", "python3")
	tool(t, "curl", "curl")
	for _, who := range callers() {
		t.Run(who.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, who, origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/early" {
					_ = http.NewResponseController(w).EnableFullDuplex()
				} else {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				_, _ = io.WriteString(w, "answered")
			})})
			s := p.sidecar(t, "limits: {tunnel_idle: 3s}\n")
			text := "package egress\n\nallow if {\n\tinput.destination.host == \"api.example.com\"\n\tinput.request.path != \"/denied\"\n}\n"
			if err := os.WriteFile(filepath.Join(filepath.Dir(p.dir), "policies", "strict", "p.rego"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			s.stop()
			s.begin()
			plain, secure, host := p.origin.PlainPort, p.origin.TLSPort, fmt.Sprintf("api.example.com:%d", p.origin.PlainPort)
			post := func(path, more, body string) string {
				return "POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + more + "\r\n" + body
			}
			on := strings.Repeat("a", 400)
			const length, stalled, part = "Content-Length: 1000\r\n", "HTTP/1.1 408 ", "0123456789"
			cases := map[string]stalling{
				"a body":           {plain, post("/x", length, part), "", false, "", stalled},
				"in TLS":           {secure, strings.Replace(post("/x", length, part), host, p.at("api.example.com"), 1), "", true, "", stalled},
				"in pieces":        {plain, post("/x", "Transfer-Encoding: chunked\r\n", "a\r\n01234"), "", false, "", stalled},
				"expecting":        {plain, post("/x", "Expect: 100-continue\r\n"+length, ""), "", false, "", stalled},
				"told":             {3128, strings.Replace(post("/x", length, part), "/x", "http://"+host+"/x", 1), "", false, "", stalled},
				"wrong":            {plain, strings.Replace(post("/x", length, part), host, "other.example.com", 1), "", false, "", "HTTP/1.1 421 "},
				"whole":            {plain, post("/x", "Connection: close\r\nContent-Type: application/json\r\nContent-Length: 10\r\n", `{"x":1234}`), "", false, "", "answered"},
				"whole, by pieces": {plain, post("/x", "Connection: close\r\nContent-Type: application/json\r\nContent-Length: 10\r\n", ""), `{"x":1234}`, false, "", "answered"},
				"refused":          {plain, post("/denied", length, part), "", false, "", "sallyport: default_deny: "},
				"answered early":   {plain, post("/early", length, part), "", false, "", "answered"},
				"a head":           {plain, "GET / HTTP/1.1\r\nX: ", on, false, "", ""},
				"a head in TLS":    {secure, "GET / HTTP/1.1\r\nX: ", on, true, "", ""},
				"a head, told":     {3128, "GET http://x/ HTTP/1.1\r\nX: ", on, false, "", ""},
				"CONNECT":          {3128, "CONNECT x:80 HTTP/1.1\r\nX: ", on, false, "", ""},
				"inside CONNECT":   {3128, "GET / HTTP/1.1\r\nX: ", on, false, host, ""},
				"a hello":          {secure, "hello", "itself", false, "", ""},
				"a handshake":      {secure, "hello", "", false, "", "\x16\x03\x03"},
				"SOCKS":            {3128, "\x05\x01\x00\x05\x01\x00\x03\x40", on, false, "", "\x05\x00"},
				"nothing to proxy": {3128, "", "", false, "", ""},
				"HTTP/2":           {plain, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00", false, "", ""},
			}
			_ = os.WriteFile(filepath.Join(p.dir, "stalling.py"), []byte(stallingPython), 0o644)
			b, _ := json.Marshal(cases)
			_ = os.WriteFile(filepath.Join(p.dir, "cases"), b, 0o644)
			out := s.enrolled(nil, fmt.Sprintf("mkfifo $HOME/f; exec 3<>$HOME/f; printf %s >&3; curl -sS -m 9 --http2 -T - %s <&3 2>&1 & /usr/bin/python3 stalling.py cases; wait", part, p.https("api.example.com", "/x")))
			said := map[string][2]string{}
			for l := range strings.Lines(out.stdout) {
				_ = json.Unmarshal([]byte(l), &said)
			}
			for n, c := range cases {
				if got := said[n]; got[0] != "end" || !strings.Contains(got[1], c.want) {
					t.Errorf("%s: %q, want %q", n, got, c.want)
				}
			}
			if !strings.Contains(out.stdout, "sallyport: client_stalled: ") {
				t.Errorf("over HTTP/2: %+v", out)
			}
			if n := len(p.find(map[string]string{"event.name": "egress.request.complete", "error.type": "client_stalled"})); n < 5 {
				t.Errorf("%d are recorded", n)
			}
			s.stop()
			p.verified()
		})
	}
}
