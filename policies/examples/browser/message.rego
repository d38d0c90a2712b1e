# What may be commanded: to look and to click, not files, permissions or the
# browser itself. What the browser says is not looked at.
package egress.message

domains := {"Accessibility", "DOM", "Emulation", "Input", "Network", "Page", "Runtime"}

closed := {"Page.setDownloadBehavior", "Network.getAllCookies"}

deny contains {"code": "command_closed", "public": "this command is closed"} if {
	input.message.direction == "to_origin"
	not open
}

open if {
	input.message.kind == "text"
	method := input.message.body.method
	split(method, ".")[0] in domains
	not method in closed
}
