# Nothing goes to a cloud's metadata service by name or address. The proxy
# refuses that by itself; here it has a code of its own, and holds for bindings too.
package sallyport.guards.metadata

import data.sallyport.lib

deny contains {"code": "cloud_metadata", "public": "metadata services are closed", "operator": input.destination.host} if lib.to_metadata
