package egress_test

import data.sallyport

asked(tenant, host, path) := {
	"sandbox": {"props": {"tenant_id": tenant}},
	"destination": {"host": host, "host_suffixes": suffixes(host), "port": 443, "scheme": "https"},
	"request": {"method": "GET", "path": path, "segments": split(trim_prefix(path, "/"), "/"), "headers": {"x-tenant-id": ["t9"]}},
}

suffixes(host) := [concat(".", array.slice(labels, i, count(labels))) |
	labels := split(host, ".")
	some i, _ in labels
]

# What t1 reaches, t2 does not, and the other way round.
own := {
	"t1": {
		["t1.apps.example.com", "/"],
		["web.t1.apps.example.com", "/a"],
		["api.example.com", "/v1/tenants/t1"],
		["api.example.com", "/v1/tenants/t1/users/1"],
		["objects.example.com", "/shared/t1/a/b"],
	},
	"t2": {
		["t2.apps.example.com", "/"],
		["api.example.com", "/v1/tenants/t2/users/1"],
		["objects.example.com", "/shared/t2/a"],
	},
	"t11": {
		["t11.apps.example.com", "/"],
		["api.example.com", "/v1/tenants/t11"],
		["objects.example.com", "/shared/t11/a"],
	},
}

test_each_its_own[label] if {
	some asking, _ in own
	some owner, places in own
	some [host, path] in places
	label := sprintf("%s asks for %s%s", [asking, host, path])
	d := sallyport.egress.decision with input as asked(asking, host, path)
	{true | d.allow} == {true | asking == owner}
}

test_nobodys[path] if {
	some path in ["/v1/tenants", "/v1/tenants/", "/v1/tenants/T1", "/v1/tenants/t1%2Fusers", "/v1/tenants//t1", "/v2/tenants/t1", "/"]
	d := sallyport.egress.decision with input as asked("t1", "api.example.com", path)
	not d.allow
}

test_lookalikes[host] if {
	some host in ["apps.example.com", "t1.apps.example.com.evil.example", "evilt1.apps.example.com", "t1apps.example.com"]
	d := sallyport.egress.decision with input as asked("t1", host, "/")
	not d.allow
}

test_who_it_is if {
	d := sallyport.egress.decision with input as asked("t1", "api.example.com", "/v1/tenants/t1")
	d.set_headers == {{"name": "X-Tenant-Id", "value": "t1"}}
	d.credentials == {"api-t1"}
	e := sallyport.egress.decision with input as asked("t2", "api.example.com", "/v1/tenants/t2")
	e.set_headers == {{"name": "X-Tenant-Id", "value": "t2"}}
	e.credentials == {"api-t2"}
	f := sallyport.egress.decision with input as asked("t11", "api.example.com", "/v1/tenants/t11")
	f.credentials == set()
	{l.name | some l in f.limits} == {"shared"}
}

# A tenant that is called what would be more than one is none.
test_no_tenant[tenant] if {
	some tenant in ["", "t1/users", "..", "*", "t1.apps.example.com", "T1", "t1%2F", {"a": "t1"}, null]
	d := sallyport.egress.decision with input as asked(tenant, "api.example.com", "/v1/tenants/t1")
	not d.allow
	{x.code | some x in d.deny} == {"bad_tenant"}
	d.set_headers == set()
}

test_nothing_is_written_elsewhere[method] if {
	some method, want in {"PUT": true, "GET": true, "DELETE": false, "POST": false}
	d := sallyport.egress.decision with input as object.union(asked("t1", "objects.example.com", "/shared/t1/a"), {"request": {"method": method}})
	d.allow == want
}
