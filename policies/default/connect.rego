# Raw TCP, to what --tcp names and to bindings that carry bytes.
package egress.connect

allow if input.destination.port in data.run.tcp[input.destination.host]

allow if input.destination.port in data.run.raw[input.destination.host]

opaque if allow
