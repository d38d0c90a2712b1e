# What else of a request rules are about.
package sallyport.lib

# method_safe holds for methods that only read (RFC 9110, section 9.2.1). TRACE is
# not among them: nobody needs it.
method_safe if input.request.method in {"GET", "HEAD", "OPTIONS"}

# https holds for TLS on its usual port.
https if {
	input.destination.scheme == "https"
	input.destination.port == 443
}

# media_type is the content type without parameters, in lower case.
media_type := trim_space(lower(split(input.request.content_type, ";")[0]))
