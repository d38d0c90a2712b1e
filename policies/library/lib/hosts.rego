# Hosts, by whole labels. A collection of hosts is an object with hosts as keys, or
# a set: asking costs the same for ten and ten thousand. A list is taken too, and
# costs for each element.
package sallyport.lib

# host_in holds for a destination that the collection names: as "example.com", that
# host alone; as "*.example.com", what is below it and not the host itself.
host_in(hosts) if hosts[input.destination.host]

host_in(hosts) if {
	some i, suffix in input.destination.host_suffixes
	i > 0
	hosts[concat("", ["*.", suffix])]
}

host_in(hosts) if {
	is_array(hosts)
	input.destination.host in hosts
}

host_in(hosts) if {
	is_array(hosts)
	some i, suffix in input.destination.host_suffixes
	i > 0
	concat("", ["*.", suffix]) in hosts
}

# host_within holds for hosts of the collection and whatever is below them.
host_within(hosts) if {
	some suffix in input.destination.host_suffixes
	hosts[suffix]
}

host_within(hosts) if {
	is_array(hosts)
	some suffix in input.destination.host_suffixes
	suffix in hosts
}
