# Nothing goes to services that carry it on to others.
package sallyport.guards.relays

import data.sallyport.lib
import data.sallyport.packs.relays

deny contains {"code": "open_relay", "public": "services that pass requests on are closed", "operator": input.destination.host} if host

deny contains {"code": "open_relay", "public": "services that pass requests on are closed", "operator": what} if {
	not lib.method_safe
	some pattern, what in relays.writes[input.destination.host]
	glob.match(pattern, ["/"], lib.bare_path)
}

# host holds for destinations that do little else. It reads no request, so
# egress.connect can ask it too.
host if lib.host_in(relays.hosts)
