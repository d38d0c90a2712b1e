package egress

import data.sallyport.presets.npm

allow if npm.read
