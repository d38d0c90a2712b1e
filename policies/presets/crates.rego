package egress

import data.sallyport.presets.crates

allow if crates.read
