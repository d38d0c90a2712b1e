# Google's Gemini API: questions to models, without files and what is tuned.
package sallyport.presets.gemini

import data.sallyport.lib

hosts := {"generativelanguage.googleapis.com"}

calls := {"generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"}

# inference holds for calls that answer, and for the list of models.
inference if {
	input.destination.host in hosts
	lib.https
	input.request.method == "POST"
	[version, models, call] := split(trim_prefix(input.request.path, "/"), "/")
	version in {"v1", "v1beta", "v1alpha"}
	models == "models"
	not contains(call, "%2F")
	[_, name] := split(call, ":")
	name in calls
}

inference if {
	input.destination.host in hosts
	lib.https
	input.request.method == "GET"
	input.request.segments[0] in {"v1", "v1beta", "v1alpha"}
	input.request.segments[1] == "models"
}
