# The team "web" reads GitHub's API with a token that it never sees.
package egress

allow if {
	input.sandbox.labels.team == "web"
	input.destination.host == "api.github.com"
	input.destination.scheme == "https"
	input.request.method in {"GET", "HEAD"}
}

deny contains {"code": "no_admin", "public": "the admin API is closed", "operator": "see the runbook"} if {
	input.request.segments[0] == "admin"
}

credentials contains "github" if input.destination.host == "api.github.com"

set_headers contains {"name": "X-Tenant-Id", "value": input.sandbox.props.tenant_id}

requires_props contains "tenant_id"
