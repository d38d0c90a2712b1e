# A model's API has no business on addresses of this network's own range.
package egress.dial

deny contains {"code": "own_range", "public": "this address is ours"} if {
	some a in input.addresses
	net.cidr_contains("203.0.113.0/24", a)
}
