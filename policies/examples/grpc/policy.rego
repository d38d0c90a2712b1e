# gRPC by service and method: everybody reads orders, the shop's own sandboxes
# place some, and nobody asks what else there is.
package egress

reads := {"shop.v1.Orders": {"Get", "List", "Watch"}}

writes := {"shop.v1.Orders": {"Place"}}

allow if {
	shop
	input.request.grpc.method in reads[input.request.grpc.service]
}

allow if {
	shop
	input.sandbox.labels.team == "shop"
	input.request.grpc.method in writes[input.request.grpc.service]
}

# A rule that names a gRPC method holds for what is sent as gRPC. What is to be
# refused however it is sent is named by its path, since some servers take other
# content types for the same method.
deny contains {"code": "no_reflection", "public": "the shop does not tell what it offers"} if {
	shop
	startswith(input.request.segments[0], "grpc.reflection.")
}

shop if input.destination.host == "orders.example.com"
