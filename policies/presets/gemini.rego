package egress

import data.sallyport.presets.gemini

allow if gemini.inference
