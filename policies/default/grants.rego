# How the ports of a grant are held against a destination.
package lib.grants

web(ports) if input.destination.port in ports

# Port 0 stands for the two of the web.
web(ports) if {
	0 in ports
	input.destination.port in {80, 443}
}
