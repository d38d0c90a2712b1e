package egress_test

import data.sallyport

call(service, method) := {
	"sandbox": {"labels": {"team": "web"}},
	"destination": {"host": "orders.example.com", "port": 443, "scheme": "https", "protocol": "h2"},
	"request": {"method": "POST", "segments": [service, method], "grpc": {"service": service, "method": method}},
}

test_everybody_reads if {
	d := sallyport.egress.decision with input as call("shop.v1.Orders", "Watch")
	d.allow
	d.deny == set()
}

test_the_shop_writes if {
	d := sallyport.egress.decision with input as call("shop.v1.Orders", "Place")
	not d.allow
	e := sallyport.egress.decision with input as call("shop.v1.Orders", "Place") with input.sandbox.labels.team as "shop"
	e.allow
}

test_other_services if {
	d := sallyport.egress.decision with input as call("shop.v1.Payments", "Get")
	not d.allow
}

test_other_hosts if {
	d := sallyport.egress.decision with input as call("shop.v1.Orders", "Get") with input.destination.host as "orders.example.com.evil.example"
	not d.allow
}

test_not_as_json if {
	d := sallyport.egress.decision with input as object.remove(call("shop.v1.Orders", "Get"), ["request"]) with input.request as {"method": "POST", "segments": ["shop.v1.Orders", "Get"]}
	not d.allow
}

test_no_reflection if {
	d := sallyport.egress.decision with input as call("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo")
	count(d.deny) == 1
}
