package egress

import data.sallyport.presets.mistral

allow if mistral.inference
