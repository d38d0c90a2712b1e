# A policy that asks the library in all phases.
package egress

import data.sallyport.lib

allow if {
	lib.https
	lib.host_in(data.hosts)
	lib.method_safe
	lib.path_under("/v1")
	lib.one(input.request.query.page) in {"1", "2"}
}

allow if {
	lib.host_within({"upload.example.org"})
	lib.media_type == "application/json"
	lib.all_in(input.request.headers["x-purpose"], {"build", "test"})
}

deny contains "metadata" if lib.to_metadata

deny contains "admin" if lib.path_near("/Admin")

deny contains "debug" if lib.any_in(input.request.query.debug, {"1", "true"})

deny contains "no_store" if "no-store" in lib.tokens(input.request.headers["cache-control"])
