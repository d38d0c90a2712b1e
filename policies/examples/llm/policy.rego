# A model's API: only the call that answers, with the operator's key, up to a
# size, and without files or administration.
package egress

calls := {
	"api.openai.com": {"/v1/chat/completions", "/v1/responses"},
	"api.anthropic.com": {"/v1/messages"},
}

keys := {"api.openai.com": "openai", "api.anthropic.com": "anthropic"}

allow if {
	input.destination.scheme == "https"
	input.request.method == "POST"
	input.request.path in calls[input.destination.host]
}

credentials contains keys[input.destination.host]

limits contains {"request_bytes": 1048576, "seconds": 300}
