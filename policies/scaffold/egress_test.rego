package egress_test

import data.sallyport

get := {
	"sandbox": {"labels": {"team": "web"}},
	"destination": {"host": "api.example.com", "host_suffixes": ["api.example.com", "example.com", "com"], "port": 443, "scheme": "https"},
	"request": {"method": "GET", "path": "/v1/items", "segments": ["v1", "items"]},
}

decision := sallyport.egress.decision

test_reads if {
	d := decision with input as get
	d.allow
	d.deny == set()
}

test_refused[name] if {
	some name, patch in {
		"a write": [{"op": "replace", "path": "/request/method", "value": "POST"}],
		"another team": [{"op": "replace", "path": "/sandbox/labels/team", "value": "ops"}],
		"another host": [{"op": "replace", "path": "/destination/host_suffixes", "value": ["evilapi.example.com", "example.com", "com"]}],
		"without TLS": [{"op": "replace", "path": "/destination/scheme", "value": "http"}],
	}
	d := decision with input as json.patch(get, patch)
	not d.allow
}

test_admin_is_closed if {
	d := decision with input as get with input.request.segments as ["admin", "users"]
	some x in d.deny
	x.code == "no_admin"
}
