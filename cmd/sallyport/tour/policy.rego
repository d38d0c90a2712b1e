package egress

allow if {
	input.destination.host == "api.example.com"
	input.request.method == "GET"
}

deny contains {"code": "read_only", "public": "this sandbox may read, not write"} if {
	input.request.method in {"POST", "PUT", "PATCH", "DELETE"}
}

credentials contains "demo" if input.destination.host == "api.example.com"
