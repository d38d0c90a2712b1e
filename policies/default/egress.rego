# The policy of a run without one of its own. data.run holds what the command
# line grants: ports by host.
package egress

import data.lib.grants

allow if grants.web(data.run.allow[input.destination.host])

# A wildcard reaches what is below its host, label by label, and not the host.
allow if {
	some i, suffix in input.destination.host_suffixes
	i > 0
	grants.web(data.run.below[suffix])
}

# A name that stands for a service over HTTP.
allow if grants.web(data.run.web[input.destination.host])

websocket if allow

credentials contains c.name if {
	some c in data.run.credentials[input.destination.host]
	c.port == input.destination.port
}
