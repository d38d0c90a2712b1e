# The Python Package Index, as pip and uv use it.
package sallyport.presets.pypi

import data.sallyport.lib

# read holds for what is asked to install.
read if {
	input.destination.host == "pypi.org"
	lib.https
	input.request.method in {"GET", "HEAD"}
	input.request.segments[0] in {"pypi", "simple"}
}

read if {
	input.destination.host == "files.pythonhosted.org"
	lib.https
	input.request.method in {"GET", "HEAD"}
}
