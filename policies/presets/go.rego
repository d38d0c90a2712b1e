package egress

import data.sallyport.presets.go

allow if go.read
