package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sallyport/origin"
)

// A flood of packets or of questions is recorded once for each destination, kind or
// name, then counted; one of another kind beside it has a record of its own.
func TestPacketsAreCounted(t *testing.T) {
	tool(t, "python3", "python3")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		out := p.python(nil, attempting+`
for fam, host in ((4, "192.0.2.1"), (6, "2001:db8::5")):
    s = socket.socket(families[fam], socket.SOCK_DGRAM)
    for i in range(500):
        try: s.sendto(b"x", (host, 7))
        except OSError: pass
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
q = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05flood\x07example\x00\x00\x10\x00\x01"
for i in range(500): s.sendto(q, ("192.0.2.53", 53)); s.recv(999)
udp(4, "192.0.2.1", 8); udp(6, "2001:db8::5", 8)
`)
		for _, to := range []string{"192.0.2.1", "2001:db8::5"} {
			for _, port := range []int{7, 8} {
				if n := len(p.find(map[string]string{"event.name": "egress.packet.refused", "destination.address": to, "destination.port": fmt.Sprint(port)})); n == 0 || n > 50 {
					t.Errorf("%s %d: %d records: %+v", to, port, n, out)
				}
			}
			// The kernel may drop some of what it tells, never what it refuses.
			if n := counted(p, map[string]string{"event.name": "egress.deny.summary", "destination.address": to, "destination.port": "7"}); n < 250 || n > 499 {
				t.Errorf("%s: %d more are counted", to, n)
			}
		}
		asked := len(p.find(map[string]string{"event.name": "egress.dns.query", "dns.question.name": "flood.example.", "dns.question.type": "TXT"}))
		if more := counted(p, map[string]string{"event.name": "egress.deny.summary", "dns.question.name": "flood.example."}); asked == 0 || asked > 50 || asked+more != 500 {
			t.Errorf("%d questions are recorded, %d more counted", asked, more)
		}
		if !strings.Contains(out.stdout, "udp 192.0.2.1 refused at once") || !strings.Contains(out.stdout, "udp 2001:db8::5 refused at once") {
			t.Errorf("behind a flood: %+v", out)
		}
	})
}

// counted adds what records count.
func counted(p *place, fields map[string]string) (n int) {
	for _, e := range p.find(fields) {
		if c, ok := e.Fields["event.count"].(json.Number); ok {
			i, _ := c.Int64()
			n += int(i)
		}
	}
	return n
}
