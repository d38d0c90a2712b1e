package egress

# The orders can be read; whoever may, gets the service's token on the way.
allow if {
	orders
	input.request.method in {"GET", "HEAD"}
	input.request.path in {"/hello", "/orders"}
}

credentials contains "orders" if {
	orders
	input.request.path == "/orders"
}

set_headers contains {"name": "X-Tenant-Id", "value": input.sandbox.props.tenant} if orders

requires_props contains "tenant"

orders if {
	input.sandbox.labels.team == "orders"
	input.destination.host == "orders.internal"
}
