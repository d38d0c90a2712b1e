# Package registries, to read from only.
package egress

registries := {
	"registry.npmjs.org",
	"pypi.org",
	"files.pythonhosted.org",
	"proxy.golang.org",
	"sum.golang.org",
	"index.crates.io",
	"static.crates.io",
}

allow if {
	input.destination.host in registries
	input.destination.scheme == "https"
	input.request.method in {"GET", "HEAD"}
}

reasons contains "package registries are read-only" if {
	input.destination.host in registries
	not input.request.method in {"GET", "HEAD"}
}

deny contains {"code": "publish", "public": "publishing packages is not allowed"} if {
	input.destination.host in registries
	input.request.method in {"PUT", "POST", "DELETE"}
}
