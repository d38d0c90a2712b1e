# A service that sends mail itself, and looks its peers up: beside addresses, which
# every name has inside, it may ask for these records of these names.
package egress.dns

import data.lib.names

allow if {
	input.question.type in {"MX", "TXT", "CAA"}
	some domain in names.mail
	domain in input.question.name_suffixes
}

# _ldap._tcp.corp.example and the like, and nothing else below it.
allow if {
	input.question.type == "SRV"
	input.question.name in names.services
}

# Which protocols a server speaks: without its addresses, keys for hidden names, and
# HTTP/3, which are taken out.
allow if {
	input.question.type == "HTTPS"
	input.question.registered_domain == "example.net"
}

# What is this long is rather a message than a name.
deny contains {"code": "long_name", "public": "this name is too long to be asked for"} if {
	count(input.question.name) > 100
}
