# Many tenants, one policy: the properties of a sandbox say whose it is. A tenant
# reaches its own host, its own part of a shared API, and its own bucket, and each
# request says whose it is in a field that the sandbox cannot set.
package egress

import data.sallyport.lib

requires_props contains "tenant_id"

tenant := input.sandbox.props.tenant_id

# A name of its own: t1.apps.example.com and what is below it.
allow if {
	lib.https
	lib.host_within({concat(".", [own, "apps.example.com"])})
}

# Its part of an API that all share: /v1/tenants/t1 and what is below it.
allow if {
	lib.https
	input.destination.host == "api.example.com"
	lib.path_under(concat("/", ["/v1/tenants", own]))
}

# Its objects in a bucket, to read and write and not to list others'.
allow if {
	lib.https
	input.destination.host == "objects.example.com"
	input.request.method in {"GET", "HEAD", "PUT"}
	lib.path_under(concat("/", ["/shared", own]))
}

# The tenant as a part of a name or path: nothing that could be more than one.
own := tenant if lib.is_label(tenant)

deny contains {"code": "bad_tenant", "public": "this sandbox has no tenant", "operator": "tenant_id is no name of lower-case letters, digits and hyphens"} if not own

set_headers contains {"name": "X-Tenant-Id", "value": own}

# Each tenant's own key, where it has one: which destinations it may go to is said
# where it is configured.
credentials contains name if {
	input.destination.host == "api.example.com"
	name := data.keys[own]
}

# No tenant takes what all share away from the others.
limits contains {"requests": 600, "per": "1m", "concurrency": 20, "name": "shared"} if input.destination.host in {"api.example.com", "objects.example.com"}
