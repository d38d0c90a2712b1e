# Raw TCP, to what --tcp names and to bindings that carry bytes.
package egress.connect

allow if {
	some g in data.run.tcp
	g.host == input.destination.host
	g.port == input.destination.port
}

allow if {
	some b in data.run.bind
	b.scheme == ""
	b.host == input.destination.host
	b.port == input.destination.port
}

opaque if allow
