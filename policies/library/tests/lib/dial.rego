package egress.dial

import data.sallyport.lib

deny contains "own_range" if lib.any_address_in({"203.0.113.0/24", "2001:db8::/32"})
