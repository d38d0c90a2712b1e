# Anthropic's API: questions to models, without files, batches and administration.
package sallyport.presets.anthropic

import data.sallyport.lib

hosts := {"api.anthropic.com"}

# inference holds for calls that answer, and for the list of models.
inference if {
	input.destination.host in hosts
	lib.https
	input.request.method == "POST"
	input.request.path in {"/v1/messages", "/v1/messages/count_tokens"}
}

inference if {
	input.destination.host in hosts
	lib.https
	input.request.method == "GET"
	lib.path_under("/v1/models")
}
