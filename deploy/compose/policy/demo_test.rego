package egress_test

import data.sallyport

asks(method, path, team) := d if {
	d := sallyport.egress.decision with input as {
		"sandbox": {"labels": {"team": team}, "props": {"tenant": "t-1"}},
		"destination": {"host": "orders.internal"},
		"request": {"method": method, "path": path},
	}
}

test_reads if asks("GET", "/hello", "orders").allow

test_orders_get_the_token if asks("GET", "/orders", "orders").allow

test_others_do_not if not asks("GET", "/orders", "web").allow

test_nothing_else if {
	not asks("GET", "/admin", "orders").allow
	not asks("POST", "/orders", "orders").allow
}
