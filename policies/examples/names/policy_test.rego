package egress_test

import data.sallyport

ask(kind, name) := {"question": {
	"name": name,
	"type": kind,
	"name_suffixes": suffixes(name),
	"registered_domain": concat(".", array.slice(split(name, "."), count(split(name, ".")) - 2, 99)),
}}

suffixes(name) := [concat(".", array.slice(labels, i, count(labels))) |
	labels := split(name, ".")
	some i, _ in labels
]

test_questions[label] if {
	some label, [kind, name, want] in {
		"mail": ["MX", "example.com", true],
		"a subdomain": ["TXT", "_dmarc.mail.example.org", true],
		"another type": ["NS", "example.com", false],
		"another name": ["TXT", "evilexample.com", false],
		"a suffix": ["TXT", "example.com.evil.example", false],
		"a service": ["SRV", "_ldap._tcp.corp.example", true],
		"another service": ["SRV", "_kerberos._tcp.corp.example", false],
		"what is spoken": ["HTTPS", "www.example.net", true],
		"what is spoken elsewhere": ["HTTPS", "www.example.com", false],
	}
	d := sallyport.dns.decision with input as ask(kind, name)
	d.allow == want
}

test_long if {
	long := concat(".", [concat("-", [format_int(n, 10) | some n in numbers.range(100, 130)]), "example.com"])
	count(long) > 100
	d := sallyport.dns.decision with input as ask("TXT", long)
	{x.code | some x in d.deny} == {"long_name"}
}
