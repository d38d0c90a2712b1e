# Go's module mirror and checksum database.
package sallyport.presets.go

import data.sallyport.lib

# read holds for what is asked to build.
read if {
	input.destination.host in {"proxy.golang.org", "sum.golang.org"}
	lib.https
	input.request.method in {"GET", "HEAD"}
}
