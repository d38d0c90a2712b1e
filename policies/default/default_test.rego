package egress_test

import data.sallyport

grants := {
	"allow": {"api.example.com": [0]},
	"below": {"example.org": [8443]},
	"tcp": {"db.example.com": [5432]},
	"web": {"orders.internal": [0]},
	"raw": {"pg.internal": [5432]},
	"credentials": {"api.example.com": [{"name": "api", "port": 443}]},
}

to(host, port) := {"destination": {"host": host, "port": port, "host_suffixes": suffixes(host)}}

suffixes(host) := [concat(".", array.slice(labels, i, count(labels))) |
	labels := split(host, ".")
	some i, _ in labels
]

test_web[name] if {
	some name, [host, port, want] in {
		"named": ["api.example.com", 443, true],
		"named, plain": ["api.example.com", 80, true],
		"another port": ["api.example.com", 22, false],
		"a prefix": ["api.example.com.evil.example", 443, false],
		"a suffix": ["evilapi.example.com", 443, false],
		"below": ["a.b.example.org", 8443, true],
		"below, another port": ["a.example.org", 443, false],
		"the host of a wildcard": ["example.org", 8443, false],
		"not below": ["evilexample.org", 8443, false],
		"bound": ["orders.internal", 80, true],
		"bound, another port": ["orders.internal", 22, false],
		"raw is not web": ["db.example.com", 5432, false],
		"a raw binding is not web": ["pg.internal", 5432, false],
	}
	d := sallyport.egress.decision with input as to(host, port) with data.run as grants
	d.allow == want
	d.websocket == want
}

test_credential_where_bound if {
	d := sallyport.egress.decision with input as to("api.example.com", 443) with data.run as grants
	d.credentials == {"api"}
	e := sallyport.egress.decision with input as to("api.example.com", 80) with data.run as grants
	e.credentials == set()
}

test_raw[name] if {
	some name, [host, port, want] in {
		"named": ["db.example.com", 5432, true],
		"another port": ["db.example.com", 22, false],
		"bound": ["pg.internal", 5432, true],
		"web is not raw": ["api.example.com", 443, false],
		"a web binding is not raw": ["orders.internal", 443, false],
	}
	d := sallyport.connect.decision with input as to(host, port) with data.run as grants
	d.allow == want
	d.opaque == want
}

test_nothing_without_grants if {
	d := sallyport.egress.decision with input as to("api.example.com", 443) with data.run as {}
	not d.allow
}
