package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"sallyport/origin"
)

// hostile 40: a connection that says nothing ends by itself, by every way in: at
// once where servers greet, elsewhere after the time in which a client may begin.
// Where a grant lets the server speak first, it is heard.
func TestSilentConnections(t *testing.T) {
	tool(t, "python3", "python3")
	l := greeter(t)
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		out := p.python([]string{"--allow", "api.example.com", "--allow", "api.example.com:8022", "--bind", fmt.Sprintf("greets.internal:25=%s", l.Addr())}, `
import select, socket, time
def direct(host, port): return socket.create_connection((host, port), 20)
def connect(host, port):
    c = socket.create_connection(("127.0.0.1", 3128), 20)
    c.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    assert b" 200 " in c.recv(4096)
    return c
def socks(host, port):
    c = socket.create_connection(("127.0.0.1", 3128), 20)
    c.sendall(b"\5\1\0\5\1\0\3" + bytes([len(host)]) + host.encode() + port.to_bytes(2, "big"))
    b = b""
    while len(b) < 12: b += c.recv(12 - len(b))
    assert b[3] == 0
    return c
began = time.monotonic()
waiting = {way("api.example.com", port): f"{way.__name__} {port}" for port in (80, 443, 8022, 3690, 5900) for way in (direct, connect, socks)}
waiting[direct("greets.internal", 25)] = "granted"
order, stays = [], 0
while waiting and (ready := select.select(list(waiting), [], [], 20)[0]):
    for c in ready:
        try: said = c.recv(99) or "end"
        except ConnectionError as e: said = type(e).__name__
        order.append((waiting.pop(c), said, time.monotonic() - began >= 4.5))
for o in order: print(*o)
print(len(waiting), "wait on")
`)
		if !strings.Contains(out.stdout, "granted b'220 ready\\r\\n'") || !strings.HasSuffix(out.stdout, "\n0 wait on\n") {
			t.Errorf("%+v", out)
		}
		for _, port := range []int{80, 443, 8022, 3690, 5900} {
			greets := port == 3690 || port == 5900
			for _, way := range []string{"direct", "connect", "socks"} {
				_, after, ended := strings.Cut(out.stdout, fmt.Sprintf("%s %d ConnectionResetError ", way, port))
				switch {
				case !ended:
					t.Errorf("%s %d is not reset: %+v", way, port, out)
				case !greets && !strings.HasPrefix(after, "True"):
					t.Errorf("%s %d is not given its time:\n%s", way, port, out.stdout)
				case greets && !strings.Contains(after, "direct 80 "):
					t.Errorf("%s %d waits as others do:\n%s", way, port, out.stdout)
				}
			}
			if n := len(p.find(map[string]string{"policy.code": "silent", "url.domain": "api.example.com", "url.port": fmt.Sprint(port)})); n == 0 {
				t.Errorf("%d is not recorded", port)
			}
		}
		p.verified()
	})
}

// greeter is a server that speaks first, and then ends.
func greeter(t *testing.T) net.Listener {
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
			_, _ = io.WriteString(c, "220 ready\r\n")
			_ = c.Close()
		}
	}()
	return l
}
