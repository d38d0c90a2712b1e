# What the sandboxes of the team "web" may do. Everything else is refused.
package egress

import data.lib.web

# Read from the hosts of data.json and what is below them.
allow if {
	input.sandbox.labels.team == "web"
	input.destination.scheme == "https"
	some suffix in input.destination.host_suffixes
	data.hosts[suffix]
	web.reads(input.request.method)
}

deny contains {"code": "no_admin", "public": "the admin API is closed", "operator": "see the runbook"} if {
	input.request.segments[0] == "admin"
}
