# Addresses.
package sallyport.lib

import data.sallyport.packs.metadata

# any_address_in is for egress.dial: it holds if a destination has an address in one of some
# networks, such as {"203.0.113.0/24"}.
any_address_in(networks) if {
	some address in input.addresses
	some network in networks
	net.cidr_contains(network, address)
}

# to_metadata holds for a destination that is a cloud's metadata service, by name
# or address. What a name leads to is not known to it; the proxy refuses that.
to_metadata if metadata.hosts[input.destination.host]

to_metadata if {
	contains(input.destination.host, ":")
	some network in metadata.networks
	net.cidr_contains(network, input.destination.host)
}
