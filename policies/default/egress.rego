# The policy of a run without one of its own. data.run holds what the command
# line grants.
package egress

import data.lib.grants

allow if {
	some g in data.run.allow
	grants.host(g)
	grants.web_port(g)
}

allow if grants.bound

credentials contains c.name if {
	some c in data.run.credentials
	c.host == input.destination.host
	c.port == input.destination.port
}
