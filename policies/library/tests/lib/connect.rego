package egress.connect

import data.sallyport.lib

allow if {
	lib.host_in({"db.example.com", "*.pool.example.com"})
	input.destination.port == 5432
}

opaque if allow

deny contains "metadata" if lib.to_metadata
