# crates.io, as cargo uses it.
package sallyport.presets.crates

import data.sallyport.lib

# read holds for what is asked to build.
read if {
	input.destination.host in {"index.crates.io", "static.crates.io"}
	lib.https
	input.request.method in {"GET", "HEAD"}
}

read if {
	input.destination.host == "crates.io"
	lib.https
	input.request.method in {"GET", "HEAD"}
	[api, v1, crates, _, _, download] := input.request.segments
	[api, v1, crates, download] == ["api", "v1", "crates", "download"]
}
