# OpenAI's API: questions to models, without files, administration and what is kept.
package sallyport.presets.openai

import data.sallyport.lib

hosts := {"api.openai.com"}

# inference holds for calls that answer, and for the list of models.
inference if {
	input.destination.host in hosts
	lib.https
	input.request.method == "POST"
	input.request.path in {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/moderations", "/v1/responses"}
}

inference if {
	input.destination.host in hosts
	lib.https
	input.request.method == "GET"
	lib.path_under("/v1/models")
}
