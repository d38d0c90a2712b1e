package egress

import data.sallyport.presets.containers

allow if containers.pull
