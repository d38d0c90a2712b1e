package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/proxy/ws"
)

// wsEchoTo is a WebSocket that says what it is told, and writes down what that was.
func wsEchoTo(heard io.Writer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { wsEchoed(w, r, heard) }
}

// wsEcho is one that writes nothing down.
var wsEcho = wsEchoTo(io.Discard)

func wsEchoed(w http.ResponseWriter, r *http.Request, heard io.Writer) {
	if r.Header.Get("Upgrade") == "" {
		_, _ = io.WriteString(w, "no WebSocket was asked for")
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", ws.Accept(r.Header.Get("Sec-Websocket-Key")))
	in, out := ws.NewReader(rw, ws.Client, ws.Limits{}), ws.NewWriter(c, ws.Server)
	for {
		p, err := in.Next()
		if err != nil {
			return
		}
		switch p.Op {
		case ws.Ping:
			p.Op = ws.Pong
		case ws.Text, ws.Binary:
			_, _ = heard.Write(p.Payload)
		}
		if out.Write(p) != nil || p.Op == ws.Close {
			return
		}
	}
}

// wsServer is one of Python's websockets that says what it is told, on a port of
// loopback, without TLS.
func wsServer(t *testing.T) (port string) {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "-c", `
import asyncio, websockets
async def echo(ws):
    async for m in ws: await ws.send(m)
async def main():
    async with websockets.serve(echo, "127.0.0.1", 0) as s:
        print(s.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()
asyncio.run(main())`)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	b := make([]byte, 16)
	n, err := out.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b[:n]))
}

const wsClient = `
import asyncio, sys, websockets
async def main():
    for url in sys.argv[1:]:
        try:
            async with websockets.connect(url) as ws:
                for m in ["hello", "grüße", b"\x00\xff", "x" * 200000]:
                    await ws.send(m)
                    if await ws.recv() != m: print("WRONG")
                await ws.send(iter(["in ", "pieces"]))
                if await ws.recv() != "in pieces": print("WRONG")
                await (await ws.ping())
            print("closed", ws.close_code)
        except websockets.InvalidStatusCode as e:
            print("refused", e.status_code)
asyncio.run(main())
`

// hostile 66, 67: a WebSocket from inside, as clients make it: to a server that
// compresses if it may, with TLS and without, and to where none is granted.
func TestWebSockets(t *testing.T) {
	tool(t, "python3", "python3")
	tool(t, "node", "nodejs")
	each(t, origin.Options{Handler: wsEcho}, func(t *testing.T, p *place) {
		port := wsServer(t)
		at := fmt.Sprintf("api.example.com:%d", p.origin.TLSPort)
		if err := os.WriteFile(filepath.Join(p.dir, "client.py"), []byte(wsClient), 0o644); err != nil {
			t.Fatal(err)
		}
		out := p.sh([]string{"--allow", at, "--allow", "api.example.com:" + port}, fmt.Sprintf(
			"/usr/bin/python3 client.py wss://%s/ ws://api.example.com:%s/ wss://other.example.com:%d/", at, port, p.origin.TLSPort))
		if out.stdout != "closed 1000\nclosed 1000\nrefused 403\n" {
			t.Fatalf("%+v", out)
		}
		node := p.sh([]string{"--allow", at}, fmt.Sprintf(`node --no-warnings --experimental-websocket -e '
for (const u of process.argv.slice(1)) { const w = new WebSocket(u);
  w.onopen = () => w.send("héllo"); w.onmessage = e => { console.log(e.data); w.close(4001, "bye"); };
  w.onclose = e => console.log(e.code, e.reason); w.onerror = () => console.log("refused"); }' wss://%s/ wss://other.example.com:%d/`, at, p.origin.TLSPort))
		if !strings.Contains(node.stdout, "héllo\n4001 bye\n") || !strings.Contains(node.stdout, "refused\n") {
			t.Errorf("node: %+v", node)
		}
		for _, e := range p.find(map[string]string{"event.name": string(audit.RequestComplete)}) {
			if e.Int("websocket.close_code") == 4001 {
				continue
			}
			if e.Int("messages.client_in") != 5 || e.Int("messages.client_out") != 5 || e.Int("websocket.close_code") != 1000 || e.Str("event.outcome") != "success" {
				t.Errorf("%s", e)
			}
		}
		p.verified()
	})
}

const messagePolicy = `package egress

allow if input.destination.host == "api.example.com"

websocket if allow
---
package egress.message

deny contains {"code": "no_shell", "public": "shells are closed"} if {
	input.message.direction == "to_origin"
	input.message.body.cmd == "shell"
}
`

const judgedClient = `
import asyncio, json, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as ws:
        await (await ws.ping())
        await ws.send(json.dumps({"cmd": "ls"}))
        print(await ws.recv())
        await ws.send(json.dumps({"cmd": "shell", "arg": "never heard of"}))
        try: print(await ws.recv())
        except websockets.ConnectionClosed as e: print(e.rcvd.code, e.rcvd.reason)
asyncio.run(main())
`

// Policy judges what is said from inside, and the client reads why it was ended.
func TestMessagesFromInside(t *testing.T) {
	tool(t, "python3", "python3")
	var heard syncBuffer
	each(t, origin.Options{Handler: wsEchoTo(&heard)}, func(t *testing.T, p *place) {
		dir := filepath.Join(filepath.Dir(p.dir), "policy")
		for i, text := range strings.Split(messagePolicy, "---\n") {
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%d.rego", i)), []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(p.dir, "client.py"), []byte(judgedClient), 0o644); err != nil {
			t.Fatal(err)
		}
		out := p.sh([]string{"--policy", dir}, "/usr/bin/python3 client.py wss://"+p.at("api.example.com")+"/")
		refused := p.find(map[string]string{"event.name": string(audit.MessageDecision), "policy.code": "no_shell", "policy.phase": "message"})
		if len(refused) != 1 {
			t.Fatalf("%d records: %+v", len(refused), out)
		}
		if want := "{\"cmd\": \"ls\"}\n1008 sallyport: no_shell: shells are closed (decision " + refused[0].Str("event.id") + ")\n"; out.stdout != want {
			t.Errorf("%q, want %q: %s", out.stdout, want, out.stderr)
		}
		if strings.Contains(heard.String(), "never heard of") || !strings.Contains(heard.String(), `{"cmd": "ls"}`) {
			t.Errorf("the origin heard %q", heard.String())
		}
		p.verified()
	})
}

// brokenClient shakes hands by itself, so that it can say what no library would.
const brokenClient = `
import os, socket, ssl, struct, sys
host, port = sys.argv[1].split(":")
def ask(name, data):
    s = ssl.create_default_context().wrap_socket(socket.create_connection((host, port)), server_hostname=host)
    s.settimeout(10)
    s.sendall(b"GET / HTTP/1.1\r\nHost: %b:%b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n" % (host.encode(), port.encode()))
    f = s.makefile("rb")
    status = f.readline().split()[1]
    deflate = False
    while (line := f.readline()) != b"\r\n": deflate |= b"deflate" in line
    try: s.sendall(data)
    except OSError: pass
    code = 0
    while len(h := f.read(2)) == 2:
        b = f.read(h[1])
        if h[0] == 0x88:
            code = struct.unpack("!H", b[:2])[0]
            break
    print(name, status.decode(), code, "compressed" if deflate else "", flush=True)
mask = b"\0\0\0\0"
def frame(first, b): return bytes([first, 0x80 | len(b)]) + mask + b
ask("bomb", frame(0xc2, b"\xec\xc1\x01\x01\x00"))
ask("bare", b"\x81\x02hi")
ask("exabytes", b"\x82\xff" + struct.pack("!Q", 2**63 - 1) + mask + b"x")
ask("negative", b"\x82\xff" + struct.pack("!Q", 2**63) + mask + b"x")
ask("reserved", frame(0x83, b"x"))
ask("utf8", frame(0x81, b"\xff"))
ask("code", frame(0x88, struct.pack("!H", 1005)))
ask("pings", frame(0x89, b"") * 400)
ask("control", b"\x89\xfe\x00\x7e" + mask + b"x" * 126)
ask("fragments", frame(0x02, b"x") + frame(0x00, b"") * 70000)
`

// hostile 140, 142: frames from inside that no client may send, a bomb among them,
// reach nobody: nothing is decompressed, since nobody may compress.
func TestHostileSockets(t *testing.T) {
	tool(t, "python3", "python3")
	var heard syncBuffer
	p := newPlace(t, callers()[len(callers())-1], origin.Options{Handler: wsEchoTo(&heard)})
	if err := os.WriteFile(filepath.Join(p.dir, "client.py"), []byte(brokenClient), 0o644); err != nil {
		t.Fatal(err)
	}
	out := p.sh([]string{"--allow", p.at("api.example.com")}, "/usr/bin/python3 client.py "+p.at("api.example.com"))
	want := "bomb 101 1002 \nbare 101 1002 \nexabytes 101 1009 \nnegative 101 1002 \nreserved 101 1002 \nutf8 101 1007 \ncode 101 1002 \npings 101 1008 \ncontrol 101 1002 \nfragments 101 1008 \n"
	if out.stdout != want {
		t.Errorf("%+v, want\n%s", out, want)
	}
	if strings.Trim(heard.String(), "x") != "" { // what there is are first fragments of what never ends
		t.Errorf("the origin heard %q", heard.String())
	}
	for kind, n := range map[string]int{"websocket_violation": 7, "message_too_large": 1, "message_flood": 2} {
		if got := len(p.find(map[string]string{"event.name": string(audit.RequestComplete), "error.type": kind, "event.outcome": "failure"})); got != n {
			t.Errorf("%d of %s are recorded, want %d", got, kind, n)
		}
	}
	p.verified()
}

// A WebSocket that is open ends when its sandbox may not have it any more, and its
// client reads why; the sidecar's own end reaches it too.
func TestSocketsAreEndedByOperators(t *testing.T) {
	tool(t, "python3", "python3")
	p := newPlace(t, callers()[0], origin.Options{Handler: wsEcho})
	more := filepath.Join(filepath.Dir(p.dir), "policies", "web")
	if err := errors.Join(os.MkdirAll(more, 0o755), os.WriteFile(filepath.Join(more, "w.rego"), []byte("package egress\n\nwebsocket if allow\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	s := p.sidecar(t, "")
	client := `import asyncio, websockets
async def main():
    async with websockets.connect("wss://` + p.at("api.example.com") + `/") as ws:
        await ws.send("open"); print(await ws.recv(), flush=True)
        try: await ws.recv()
        except websockets.ConnectionClosed as e: print("ended", e.rcvd.code, e.rcvd.reason, flush=True)
asyncio.run(main())`
	for _, c := range [][2]string{{"pause", "ended 1008 sallyport: paused: "}, {"revoke", "ended 1008 sallyport: revoked: "}, {"", "ended 1001"}} {
		how, want := c[0], c[1]
		name := "w-" + how
		b := p.spawn(t, binary, "run", "--sidecar", s.control, "--name", name, "--label", "team=web", "--prop", "tenant=t", "--policy", "web", "--", "/usr/bin/python3", "-c", client)
		b.until("open")
		if how == "" {
			s.stop()
		} else if out := p.exec("sandbox", how, name, "--control", s.control); out.code != 0 {
			t.Fatalf("%+v", out)
		}
		b.until(want)
	}
}

// lyingOrigin answers handshakes as its paths say.
func lyingOrigin(w http.ResponseWriter, r *http.Request) {
	accept := "Sec-WebSocket-Accept: " + ws.Accept(r.Header.Get("Sec-Websocket-Key")) + "\r\n"
	const to, head = "Upgrade: websocket\r\nConnection: Upgrade\r\n", "HTTP/1.1 101 Switching Protocols\r\n"
	bomb := "\xc2\x7e\x00\x80" + strings.Repeat("\xff", 128)
	answer := map[string]string{
		"/no-accept": head + to + "\r\n", "/no-upgrade": head + accept + "\r\n", "/deflate": head + to + accept + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
		"/200": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + to + accept + "\r\nhi", "/masked": head + to + accept + "\r\n\x81\x82\x00\x00\x00\x00hi",
		"/bomb": head + to + accept + "\r\n" + bomb, "/exabytes": head + to + accept + "\r\n\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "/pings": head + to + accept + "\r\n" + strings.Repeat("\x89\x00", 400),
		"/utf8": head + to + accept + "\r\n\x81\x01\xff",
	}[r.URL.Path]
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(c, answer+"GET /smuggled HTTP/1.1\r\n\r\n")
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

const liedTo = `
import asyncio, sys, websockets
async def main():
    for path in sys.argv[2:]:
        try:
            async with websockets.connect("wss://%s/%s" % (sys.argv[1], path)) as ws:
                try: print(path, "got", await ws.recv())
                except websockets.ConnectionClosed as e: print(path, e.rcvd and e.rcvd.code)
        except websockets.InvalidStatusCode as e: print(path, "refused", e.status_code)
asyncio.run(main())
`

// hostile 66, 140, 142: an origin that lies in its handshake is no WebSocket's, and
// one that sends what it may not is cut off; nothing of it comes inside.
func TestLyingSockets(t *testing.T) {
	tool(t, "python3", "python3")
	p := newPlace(t, callers()[len(callers())-1], origin.Options{Handler: http.HandlerFunc(lyingOrigin)})
	out := p.run([]string{"--allow", p.at("api.example.com")}, "/usr/bin/python3", "-c", liedTo, p.at("api.example.com"),
		"no-accept", "no-upgrade", "deflate", "200", "masked", "bomb", "exabytes", "pings", "utf8")
	want := "no-accept refused 502\nno-upgrade refused 502\ndeflate refused 502\n200 refused 200\nmasked 1001\nbomb 1001\nexabytes 1001\npings 1001\nutf8 1001\n"
	if out.stdout != want {
		t.Errorf("%+v, want\n%s", out, want)
	}
	p.verified()
}
