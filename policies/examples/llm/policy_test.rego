package egress_test

import data.sallyport

call := {
	"destination": {"host": "api.openai.com", "scheme": "https"},
	"request": {"method": "POST", "path": "/v1/chat/completions"},
}

test_chat if {
	d := sallyport.egress.decision with input as call
	d.allow
	d.credentials == {"openai"}
}

test_paths[path] if {
	some path in {"/v1/files", "/v1/organization/admin_api_keys", "/v1/messages", "/v1/chat/completions/"}
	d := sallyport.egress.decision with input as call with input.request.path as path
	not d.allow
}

test_each_its_own_key if {
	d := sallyport.egress.decision with input as {
		"destination": {"host": "api.anthropic.com", "scheme": "https"},
		"request": {"method": "POST", "path": "/v1/messages"},
	}
	d.allow
	d.credentials == {"anthropic"}
}

test_own_range if {
	d := sallyport.dial.decision with input as {"addresses": ["192.0.2.1", "203.0.113.9"]}
	{x.code | some x in d.deny} == {"own_range"}
}
