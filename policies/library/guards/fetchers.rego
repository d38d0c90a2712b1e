# No URL in a parameter: where a host fetches what ?url= names, a rule that allows it
# allows every destination. This reads the whole query, so each query is a new decision.
package sallyport.guards.fetchers

deny contains {"code": "url_in_query", "public": "a parameter is a URL", "operator": name} if {
	some name, values in input.request.query
	some value in values
	_url(lower(trim_space(value)))
}

_url(value) if startswith(value, "http://")

_url(value) if startswith(value, "https://")

_url(value) if startswith(value, "ftp://")

_url(value) if startswith(value, "//")
