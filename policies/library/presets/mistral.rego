# Mistral's API: questions to models, without files, agents and what is trained.
package sallyport.presets.mistral

import data.sallyport.lib

hosts := {"api.mistral.ai"}

# inference holds for calls that answer, and for the list of models.
inference if {
	input.destination.host in hosts
	lib.https
	input.request.method == "POST"
	input.request.path in {"/v1/chat/completions", "/v1/embeddings", "/v1/fim/completions", "/v1/moderations", "/v1/chat/moderations"}
}

inference if {
	input.destination.host in hosts
	lib.https
	input.request.method == "GET"
	lib.path_under("/v1/models")
}
