# What passes unread is held to its host alone.
package egress.connect

import data.sallyport.guards.metadata
import data.sallyport.guards.minting
import data.sallyport.guards.relays

allow := true

opaque := true

deny contains x if some x in metadata.deny

deny contains {"code": "credential_minting", "public": "making credentials is closed"} if minting.host

deny contains {"code": "open_relay", "public": "services that pass requests on are closed"} if relays.host
