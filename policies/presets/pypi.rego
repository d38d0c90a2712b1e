package egress

import data.sallyport.presets.pypi

allow if pypi.read
