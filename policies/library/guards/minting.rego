# Nobody makes credentials through the gate. Of use as a layer of its own, or in a
# policy: deny contains x if some x in minting.deny.
package sallyport.guards.minting

import data.sallyport.lib
import data.sallyport.packs.minting

deny contains {"code": "credential_minting", "public": "making credentials is closed", "operator": input.destination.host} if host

deny contains {"code": "credential_minting", "public": "making credentials is closed", "operator": what} if {
	not lib.method_safe
	some pattern, what in minting.writes[input.destination.host]
	glob.match(pattern, ["/"], lib.bare_path)
}

deny contains {"code": "credential_minting", "public": "making credentials is closed", "operator": what} if {
	some pattern, what in minting.closed[input.destination.host]
	glob.match(pattern, ["/"], lib.bare_path)
}

# host holds for destinations that do little else than to make credentials. It reads no
# request, so egress.connect can ask it too.
host if {
	some domain in input.destination.host_suffixes
	labels := minting.services[domain]
	some label in split(input.destination.host, ".")
	labels[label]
}
