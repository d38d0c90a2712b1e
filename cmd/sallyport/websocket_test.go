package main

import (
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

// wsEcho is a WebSocket that says what it is told. It shows what it was sent with
// its handshake first where the path asks for that.
var wsEcho = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	if r.URL.Path == "/shown" {
		_ = out.Write(ws.Piece{Op: ws.Text, First: true, Last: true, Payload: fmt.Appendf(nil, "%s %q", r.Header.Get("Authorization"), r.Header["Sec-Websocket-Extensions"])})
	}
	for {
		p, err := in.Next()
		if err != nil {
			return
		}
		if p.Op == ws.Ping {
			p.Op = ws.Pong
		}
		if out.Write(p) != nil || p.Op == ws.Close {
			return
		}
	}
})

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
		for _, e := range p.find(map[string]string{"event.name": string(audit.RequestComplete)}) {
			if e.Int("messages.client_in") != 5 || e.Int("messages.client_out") != 5 || e.Int("websocket.close_code") != 1000 || e.Str("event.outcome") != "success" {
				t.Errorf("%s", e)
			}
		}
		p.verified()
	})
}
