package egress.dns

allow := true
