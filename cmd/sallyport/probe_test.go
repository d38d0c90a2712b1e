package main

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
)

// probe tries to get round the sidecar: at addresses of its arguments, as HOST:PORT,
// by TCP and UDP, and by sockets below those; then it looks for a token and for
// sockets.
const probe = `
import os, re, socket, sys
for at in sys.argv[1:]:
    host, port = at.rsplit(":", 1)
    host = host.strip("[]")
    f = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(f, kind); s.settimeout(1)
        try:
            s.connect((host, int(port)))
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: x.example\r\nConnection: close\r\n\r\n")
            print(at, s.recv(4096))
        except OSError as e: print(at, e)
for f, kind, proto in ((socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_INET6, socket.SOCK_RAW, 58), (socket.AF_PACKET, socket.SOCK_RAW, 768), (40, socket.SOCK_STREAM, 0)):
    try:
        s = socket.socket(f, kind, proto)
        if f == 40: s.settimeout(1); s.connect((2, 22))
        print("RAW SOCKET", f, kind)
    except OSError as e: print("no raw socket", e.errno)
token = re.compile(rb"demo-[A-Z2-7]{20,}")
def look(path):
    try:
        with open(path, "rb") as x:
            if token.search(x.read(1 << 20)): print("TOKEN IN", path)
    except OSError: pass
for top in ("/etc", "/run", "/tmp", "/dev/shm", "/var", "/home", "/root"):
    for d, _, names in os.walk(top):
        for n in names:
            p = os.path.join(d, n)
            if n.endswith(".sock"):
                s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if n == "enrol.sock" else socket.SOCK_STREAM); s.settimeout(1)
                try: s.connect(p); s.send(b"GET http://orders.internal/hello HTTP/1.1\r\nHost: orders.internal\r\n\r\n"); print("SOCKET" if s.recv(100) else "socket closed", p)
                except OSError as e: print("no socket", p, e.errno)
            elif os.path.isfile(p): look(p)
for n in os.listdir("/proc"):
    if n.isdigit():
        for x in ("environ", "cmdline"): look("/proc/" + n + "/" + x)
`

// A bystander is a service on the machine, on every address, that nobody should reach.
type bystander struct {
	port int
	hits atomic.Int64
}

func listening(t *testing.T) *bystander {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	x := &bystander{port: l.Addr().(*net.TCPAddr).Port}
	u, err := net.ListenPacket("udp", fmt.Sprintf(":%d", x.port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = l.Close(), u.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			x.hits.Add(1)
			_ = c.Close()
		}
	}()
	go func() {
		for {
			if _, _, err := u.ReadFrom(make([]byte, 100)); err != nil {
				return
			}
			x.hits.Add(1)
		}
	}()
	return x
}
