package main

import (
	"strings"
	"testing"

	"sallyport/origin"
)

// dnsPython sends what it likes to the name server inside.
const dnsPython = `
import socket, struct, time
def q(name=b"\x01a\x07example\x00", kind=1, head=b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", more=b""):
    return head + name + struct.pack("!HH", kind, 1) + more
def said(b):
    return "nothing" if not b else "%d %d" % (b[3] & 15, struct.unpack("!H", b[6:8])[0])
def udp(what, data, wait=10):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(wait); s.sendto(data, ("192.0.2.53", 53))
    try: print(what + ":", said(s.recv(4096)))
    except TimeoutError: print(what + ": nothing")
def conn():
    s = socket.create_connection(("192.0.2.53", 53), 20); return s
def read(s):
    head = b""
    while len(head) < 2:
        got = s.recv(2 - len(head))
        if not got: return b""
        head += got
    n, b = struct.unpack("!H", head)[0], b""
    while len(b) < n: b += s.recv(n - len(b))
    return b
def framed(b): return struct.pack("!H", len(b)) + b
`

// hostile 95, 316: whatever is sent to the name server inside, over UDP or TCP, comes to
// an error or to nothing, and the next question is answered.
func TestHostileQuestions(t *testing.T) {
	tool(t, "python3", "python3")
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	out := p.python([]string{"--policy", p.dnsPolicy("allow := true\n")}, dnsPython+`
udp("a question", q())
udp("nothing at all", b"", 0.3); udp("a few bytes", b"\x00\x07\x01", 0.3); udp("an answer", q(head=b"\x00\x07\x81\x00\x00\x01\x00\x00\x00\x00\x00\x00"), 0.3)
udp("a head", q()[:12]); udp("half", q()[:15]); udp("two questions", q(head=b"\x00\x07\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00", more=q()[12:]))
udp("no questions", b"\x00\x07\x01\x00" + bytes(8)); udp("an answer in it", q(head=b"\x00\x07\x01\x00\x00\x01\x00\x01\x00\x00\x00\x00", more=b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x09\x00\x04\x01\x02\x03\x04"))
udp("a pointer to itself", q(name=b"\xc0\x0c")); udp("a label too long", q(name=b"\x7f" + b"a" * 127 + b"\x00")); udp("a name too long", q(name=b"\x3f" + b"a" * 63 + (b"\x3f" + b"b" * 63) * 4 + b"\x00"))
for op in (1, 2, 4, 5, 15): udp("opcode %d" % op, q(head=b"\x00\x07" + bytes([1 | op << 3]) + b"\x00\x00\x01\x00\x00\x00\x00\x00\x00"))
udp("EDNS of tomorrow", q(head=b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01", more=b"\x00\x00\x29\x10\x00\x00\x01\x00\x00\x00\x00"))
udp("EDNS twice", q(head=b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x02", more=b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00" * 2))
udp("a large one", q(more=bytes(60000)))
s = conn()
for i in range(3): s.sendall(framed(q()) + framed(q(kind=28)))
print("one connection:", [said(read(s)) for i in range(6)])
s.sendall(framed(b"")); print("an empty one:", said(read(s)))
s = conn(); s.sendall(b"\xff\xff" + q()); s.shutdown(socket.SHUT_WR); print("less than it says:", said(read(s)))
s = conn()
for b in framed(q()): s.sendall(bytes([b])); time.sleep(0.01)
print("byte by byte:", said(read(s)))
held, ended = [conn() for i in range(80)], 0
for c in held[64:] + held[:64]: # the last are ended at once, the first when they say nothing
    c.settimeout(5 if c in held[64:] else 0.01)
    try: ended += c.recv(1) == b""
    except TimeoutError: pass
    except OSError: ended += 1
print("held:", 80 - ended)
held[0].settimeout(60)
try: print("waited for:", held[0].recv(1) != b"")
except TimeoutError: print("waited for: for ever")
del held
udp("and then", q())
`)
	for _, want := range []string{"a question: 0 1", "nothing at all: nothing", "a few bytes: nothing", "an answer: nothing", "a head: 1 0", "half: 1 0", "two questions: 1 0", "no questions: 1 0", "an answer in it: 1 0",
		"a pointer to itself: 1 0", "a label too long: 1 0", "a name too long: 1 0", "opcode 1: 4 0", "opcode 2: 4 0", "opcode 4: 4 0", "opcode 5: 4 0", "opcode 15: 4 0", "EDNS of tomorrow: 0 0", "EDNS twice: 1 0",
		"one connection: ['0 1', '0 1', '0 1', '0 1', '0 1', '0 1']", "an empty one: nothing", "less than it says: nothing", "byte by byte: 0 1", "waited for: False", "and then: 0 1"} {
		if !strings.Contains(out.stdout, want+"\n") {
			t.Errorf("no %q", want)
		}
	}
	if !strings.Contains(out.stdout, "\nheld: 6") || t.Failed() {
		t.Errorf("%+v", out)
	}
}
