# A browser elsewhere, driven over a WebSocket: only sessions, not its list of
# pages.
package egress

allow if {
	input.destination.host == "browser.example.com"
	input.destination.scheme == "https"
	input.destination.protocol == "websocket"
	array.slice(input.request.segments, 0, 2) == ["devtools", "page"]
}

websocket if allow

limits contains {"seconds": 3600}
