package egress

import data.sallyport.presets.linux

allow if linux.alpine
