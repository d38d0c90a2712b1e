package egress.dns

import data.sallyport.lib

allow if {
	input.question.type == "TXT"
	lib.name_within(["example.com"])
}

allow if {
	input.question.type == "MX"
	lib.name_in({"example.org", "*.example.net"})
}
