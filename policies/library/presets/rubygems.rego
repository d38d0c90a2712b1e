# RubyGems, as gem and bundler use it.
package sallyport.presets.rubygems

import data.sallyport.lib

# read holds for what is asked to install.
read if {
	input.destination.host == "index.rubygems.org"
	lib.https
	input.request.method in {"GET", "HEAD"}
}

read if {
	input.destination.host == "rubygems.org"
	lib.https
	input.request.method in {"GET", "HEAD"}
	_served
}

_served if input.request.segments[0] in {"downloads", "gems", "info", "names", "quick", "versions"}

_served if input.request.path in {"/specs.4.8.gz", "/latest_specs.4.8.gz", "/prerelease_specs.4.8.gz", "/api/v1/dependencies"}
