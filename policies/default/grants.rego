# How a grant of the command line is held against a destination.
package lib.grants

# A wildcard reaches what is below its host, label by label, and not the host.
host(g) if {
	not g.wildcard
	g.host == input.destination.host
}

host(g) if {
	g.wildcard
	endswith(input.destination.host, concat("", [".", g.host]))
}

# Without a port a grant is for the two of the web.
web_port(g) if g.port == input.destination.port

web_port(g) if {
	g.port == 0
	input.destination.port in {80, 443}
}

# A name that stands for a service over HTTP.
bound if {
	some b in data.run.bind
	b.scheme != ""
	b.host == input.destination.host
	bound_port(b)
}

bound_port(b) if b.port == input.destination.port

bound_port(b) if {
	b.port == 0
	input.destination.port in {80, 443}
}
