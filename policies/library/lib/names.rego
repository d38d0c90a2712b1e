# Names that are asked about, for egress.dns: as hosts are, by whole labels.
package sallyport.lib

# name_in holds for a question about a name of the collection, "*.example.com"
# standing for what is below it.
name_in(names) if names[input.question.name]

name_in(names) if {
	some i, suffix in input.question.name_suffixes
	i > 0
	names[concat("", ["*.", suffix])]
}

name_in(names) if {
	is_array(names)
	input.question.name in names
}

name_in(names) if {
	is_array(names)
	some i, suffix in input.question.name_suffixes
	i > 0
	concat("", ["*.", suffix]) in names
}

# name_within holds for names of the collection and whatever is below them.
name_within(names) if {
	some suffix in input.question.name_suffixes
	names[suffix]
}

name_within(names) if {
	is_array(names)
	some suffix in input.question.name_suffixes
	suffix in names
}
