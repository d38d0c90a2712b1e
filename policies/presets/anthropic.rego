package egress

import data.sallyport.presets.anthropic

allow if anthropic.inference
