# Guard rails for every sandbox, whatever its own policy says: a layer that allows
# all and denies what nobody is to do. It is named beside a policy that grants, and
# never alone: policies: [guardrails, web].
package egress

import data.sallyport.guards.fetchers
import data.sallyport.guards.metadata
import data.sallyport.guards.minting
import data.sallyport.guards.relays

allow := true

websocket := true

deny contains x if some x in metadata.deny

deny contains x if some x in minting.deny

deny contains x if some x in relays.deny

deny contains x if some x in fetchers.deny
