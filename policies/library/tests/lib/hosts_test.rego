package hosts_test

import data.sallyport
import data.sallyport.lib

to(host) := {"destination": {"host": host, "host_suffixes": suffixes(host), "port": 443, "scheme": "https"}}

suffixes(host) := [host] if contains(host, ":")

suffixes(host) := [concat(".", array.slice(labels, i, count(labels))) |
	labels := split(host, ".")
	some i, _ in labels
] if not contains(host, ":")

# What is named, and what only looks like it.
hosts := {
	"example.com": true,
	"*.example.org": true,
	"192.0.2.1": true,
	"off.example.com": false,
}

cases := {
	"named": ["example.com", true],
	"below what is named": ["www.example.com", false],
	"behind what is named": ["example.com.evil.example", false],
	"before what is named": ["evilexample.com", false],
	"below a wildcard": ["a.b.example.org", true],
	"the host of a wildcard": ["example.org", false],
	"a wildcard in the middle of a label": ["evilexample.org", false],
	"a wildcard, and more": ["a.example.org.evil.example", false],
	"an address": ["192.0.2.1", true],
	"another address": ["192.0.2.10", false],
	"switched off": ["off.example.com", false],
	"nothing like it": ["com", false],
}

test_host_in[label] if {
	some label, [host, want] in cases
	{true | lib.host_in(hosts) with input as to(host)} == {true | want}
}

test_host_in_set[label] if {
	some label, [host, want] in cases
	{true | lib.host_in({h | hosts[h]}) with input as to(host)} == {true | want}
}

test_host_in_list[label] if {
	some label, [host, want] in cases
	{true | lib.host_in([h | hosts[h]]) with input as to(host)} == {true | want}
}

test_host_within[label] if {
	some label, [host, want] in {
		"named": ["example.com", true],
		"below": ["a.b.example.com", true],
		"behind": ["example.com.evil.example", false],
		"before": ["evilexample.com", false],
		"above": ["com", false],
	}
	some collection in [{"example.com"}, {"example.com": true}, ["example.com"]]
	{true | lib.host_within(collection) with input as to(host)} == {true | want}
}

test_host_in_nothing if {
	not lib.host_in({}) with input as to("example.com")
	not lib.host_in([]) with input as to("example.com")
	{true | lib.host_in(data.nothing) with input as to("example.com")} == set()
	not lib.host_in(hosts) with input as {}
}

test_bytes[host] if {
	some host, want in {"db.example.com": true, "a.pool.example.com": true, "pool.example.com": false, "example.com": false}
	d := sallyport.connect.decision with input as object.union(to(host), {"destination": {"port": 5432}})
	d.allow == want
	d.opaque == want
}

ask(type, name) := {"question": {"type": type, "name": name, "name_suffixes": suffixes(name)}}

test_names[label] if {
	some label, [type, name, want] in {
		"within": ["TXT", "_dmarc.example.com", true],
		"within, itself": ["TXT", "example.com", true],
		"within, another": ["TXT", "example.org", false],
		"within, a prefix": ["TXT", "evilexample.com", false],
		"in": ["MX", "example.org", true],
		"in, below": ["MX", "mail.example.org", false],
		"in, below a wildcard": ["MX", "mail.example.net", true],
		"in, the name of a wildcard": ["MX", "example.net", false],
	}
	d := sallyport.dns.decision with input as ask(type, name)
	d.allow == want
}

test_names_in_sets_and_lists if {
	lib.name_in(["example.com"]) with input as ask("MX", "example.com")
	not lib.name_in(["example.com"]) with input as ask("MX", "a.example.com")
	lib.name_within({"example.com"}) with input as ask("MX", "a.example.com")
}

test_metadata[host] if {
	some host, want in {
		"169.254.169.254": true,
		"metadata.google.internal": true,
		"fd00:ec2::254": true,
		"169.254.169.25": false,
		"fd00:ec3::254": false,
		"metadata.google.internal.evil.example": false,
		"example.com": false,
	}
	d := sallyport.connect.decision with input as to(host)
	{x | some x in d.deny; x == "metadata"} == {"metadata" | want}
}

test_own_range[address] if {
	some address, want in {"203.0.113.9": true, "2001:db8::1": true, "192.0.2.1": false}
	d := sallyport.dial.decision with input as {"addresses": ["198.51.100.7", address]}
	d.deny == {"own_range" | want}
}
