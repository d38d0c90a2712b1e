package egress_test

import data.sallyport

session := {
	"destination": {"host": "browser.example.com", "scheme": "https", "protocol": "websocket"},
	"request": {"method": "GET", "segments": ["devtools", "page", "7F1E"]},
}

test_session if {
	d := sallyport.egress.decision with input as session
	d.allow
	d.websocket
}

test_only_a_websocket if {
	d := sallyport.egress.decision with input as session with input.destination.protocol as "http/1.1"
	not d.allow
	not d.websocket
}

test_not_the_browser if {
	d := sallyport.egress.decision with input as session with input.request.segments as ["devtools", "browser", "7F1E"]
	not d.allow
}

codes(message) := {x.code | some x in d.deny} if {
	d := sallyport.message.decision with input as object.union(session, {"message": message})
}

test_commands[method] if {
	some method, want in {
		"Page.navigate": set(),
		"Input.dispatchMouseEvent": set(),
		"Page.setDownloadBehavior": {"command_closed"},
		"Browser.close": {"command_closed"},
		"PageX.navigate": {"command_closed"},
	}
	codes({"direction": "to_origin", "kind": "text", "body": {"id": 1, "method": method}}) == want
}

test_binary_is_no_command if {
	codes({"direction": "to_origin", "kind": "binary"}) == {"command_closed"}
}

test_answers_pass if {
	codes({"direction": "to_client", "kind": "text", "body": {"id": 1, "result": {}}}) == set()
}
