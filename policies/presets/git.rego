package egress

import data.sallyport.presets.git

allow if git.read
