package egress

import data.sallyport.presets.openai

allow if openai.inference
