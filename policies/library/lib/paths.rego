# Paths, by whole segments. What is granted is read narrowly and what is refused
# widely, since servers read one path in many ways.
package sallyport.lib

# path_under is for what is granted. It holds for the path and what is below it:
# "/admin" for /admin and /admin/x, neither for /administrator nor /admin%2Fx.
path_under(prefix) if startswith(concat("", [input.request.path, "/"]), concat("", ["/", trim(prefix, "/"), "/"]))

path_under(prefix) if trim(prefix, "/") == ""

# path_near is for what is refused. It holds where path_under does, and for what some
# server may take for that: in other case, with doubled or encoded slashes, with
# parameters (";v=1") in a segment.
path_near(prefix) if startswith(bare_path, concat("", ["/", trim(lower(prefix), "/"), "/"]))

path_near(prefix) if trim(prefix, "/") == ""

# bare_path is the path as path_near sees it: in lower case, each segment bare, with a
# slash at its end.
bare_path := concat("", [concat("/", array.concat([""], parts)), "/"]) if {
	parts := [part |
		some segment in split(replace(lower(input.request.path), "%2f", "/"), "/")
		part := split(segment, ";")[0]
		part != ""
	]
}
