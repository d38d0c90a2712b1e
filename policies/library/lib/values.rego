# Values of parameters and header fields, which are lists: a name can be there twice,
# and servers differ in which one they take. Hand over one by its name, such as
# input.request.query.page: then that is all that the policy reads.
package sallyport.lib

# one is the value of what is there exactly once.
one(values) := values[0] if count(values) == 1

# all_in holds if there are values, and each is in the collection.
all_in(values, collection) if {
	count(values) > 0
	every value in values {
		_has(collection, value)
	}
}

# any_in holds if some value is in the collection.
any_in(values, collection) if {
	some value in values
	_has(collection, value)
}

# tokens are the elements of a header field that is a list with commas, in lower case.
tokens(values) := {token |
	some value in values
	some part in split(value, ",")
	token := lower(trim_space(part))
	token != ""
}

_has(collection, value) if collection[value]

_has(collection, value) if {
	is_array(collection)
	value in collection
}

# is_label holds for a text of up to 63 lower-case letters, digits and hyphens in between: one
# that can be a part of a host or path, such as a property, and never more than one.
is_label(text) if regex.match(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`, text)
