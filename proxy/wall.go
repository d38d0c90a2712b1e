package proxy

import (
	"sallyport/audit"
)

// Refused records a packet that ended at the wall: UDP, ICMP and all that is
// not TCP.
func (g *Gate) Refused(p audit.Packet) {
	ev := g.event(audit.PacketRefused)
	ev.ID = audit.NewID()
	ev.Packet = &p
	ev.Decision = &audit.Decision{Effect: "deny", Action: "blocked", Code: "protocol_denied"}
	g.flood(ev)
}

// Noted records an event of the sandbox that costs little to cause, or counts it.
func (g *Gate) Noted(ev *audit.Event) {
	if ev.ID == "" {
		ev.ID = audit.NewID()
	}
	g.flood(ev)
}

// Asked records a DNS query and what was answered.
func (g *Gate) Asked(q audit.DNS) {
	ev := g.event(audit.DNSQuery)
	ev.ID = audit.NewID()
	ev.DNS = &q
	g.flood(ev)
}
