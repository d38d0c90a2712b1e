package egress_test

import data.sallyport

get := {
	"sandbox": {"labels": {"team": "web"}, "props": {"tenant_id": "t1"}},
	"destination": {"host": "api.github.com", "port": 443, "scheme": "https"},
	"request": {"method": "GET", "segments": ["repos", "a", "b"]},
}

test_web_reads if {
	d := sallyport.egress.decision with input as get
	d.allow
	d.deny == set()
	d.credentials == {"github"}
	d.set_headers == {{"name": "X-Tenant-Id", "value": "t1"}}
}

test_nobody_writes if {
	d := sallyport.egress.decision with input as get with input.request.method as "POST"
	not d.allow
}

test_other_teams_do_not if {
	d := sallyport.egress.decision with input as get with input.sandbox.labels.team as "ops"
	not d.allow
}

test_admin_is_closed if {
	d := sallyport.egress.decision with input as get with input.request.segments as ["admin", "users"]
	some x in d.deny
	x.code == "no_admin"
}
