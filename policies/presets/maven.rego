package egress

import data.sallyport.presets.maven

allow if maven.read
