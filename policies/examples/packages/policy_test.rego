package egress_test

import data.sallyport

get := {
	"destination": {"host": "registry.npmjs.org", "scheme": "https"},
	"request": {"method": "GET"},
}

test_install if sallyport.egress.decision.allow with input as get

test_no_publish if {
	d := sallyport.egress.decision with input as get with input.request.method as "PUT"
	not d.allow
	{x.code | some x in d.deny} == {"publish"}
}

test_nothing_else if {
	not sallyport.egress.decision.allow with input as get with input.destination.host as "registry.npmjs.org.evil.example"
	not sallyport.egress.decision.allow with input as get with input.destination.scheme as "http"
}
