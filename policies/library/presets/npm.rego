# npm's registry, as npm, yarn and pnpm use it.
package sallyport.presets.npm

import data.sallyport.lib

hosts := {"registry.npmjs.org", "registry.yarnpkg.com"}

# read holds for what is asked to install: packages and their descriptions, the keys
# of the registry and what they signed. Not whose token it is, nor other accounts' affairs.
read if {
	input.destination.host in hosts
	lib.https
	input.request.method in {"GET", "HEAD"}
	not lib.path_near("/-")
}

read if {
	input.destination.host in hosts
	lib.https
	input.request.method == "GET"
	_about
}

_about if input.request.path in {"/-/npm/v1/keys", "/-/ping"}

_about if lib.path_under("/-/npm/v1/attestations")

# audit holds for the question which of some packages have known faults: it tells the
# registry what is installed.
audit if {
	input.destination.host in hosts
	lib.https
	input.request.method == "POST"
	input.request.path in {"/-/npm/v1/security/advisories/bulk", "/-/npm/v1/security/audits/quick", "/-/npm/v1/security/audits"}
}
