package egress

import data.sallyport.presets.rubygems

allow if rubygems.read
