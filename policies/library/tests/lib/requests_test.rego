package requests_test

import data.sallyport
import data.sallyport.lib

path(p) := {"request": {"path": p}}

# For what is granted: segments, whole, and nothing that two servers read differently.
test_path_under[label] if {
	some label, [prefix, p, want] in {
		"itself": ["/admin", "/admin", true],
		"below": ["/admin", "/admin/users/1", true],
		"with a slash": ["/admin/", "/admin", true],
		"without one before": ["admin", "/admin/users", true],
		"a longer segment": ["/admin", "/administrator", false],
		"another extension": ["/v1/items", "/v1/items.json", false],
		"an encoded slash": ["/admin", "/admin%2Fusers", false],
		"an encoded slash behind": ["/admin", "/admin/a%2Fb", true],
		"other case": ["/admin", "/Admin/users", false],
		"two slashes": ["/admin", "//admin/users", false],
		"deeper": ["/v1/items", "/v2/v1/items", false],
		"all": ["/", "/anything", true],
		"all, in short": ["", "/", true],
	}
	{true | lib.path_under(prefix) with input as path(p)} == {true | want}
}

# For what is refused: also what a server may take for it.
test_path_near[label] if {
	some label, [prefix, p, want] in {
		"itself": ["/admin", "/admin", true],
		"below": ["/admin", "/admin/users/1", true],
		"an encoded slash": ["/admin", "/admin%2Fusers", true],
		"an encoded slash before": ["/admin", "/%2Fadmin/users", true],
		"other case": ["/Admin", "/aDMIN/users", true],
		"two slashes": ["/admin/users", "//admin///users", true],
		"parameters": ["/admin/users", "/admin;v=1/users;a=b", true],
		"a longer segment": ["/admin", "/administrator", false],
		"deeper": ["/admin", "/v1/admin", false],
		"all": ["/", "/anything", true],
	}
	{true | lib.path_near(prefix) with input as path(p)} == {true | want}
}

test_method_safe[method] if {
	some method, want in {"GET": true, "HEAD": true, "OPTIONS": true, "POST": false, "TRACE": false, "get": false, "PROPFIND": false}
	{true | lib.method_safe with input as {"request": {"method": method}}} == {true | want}
}

test_https[label] if {
	some label, [scheme, port, want] in {
		"usual": ["https", 443, true],
		"another port": ["https", 8443, false],
		"without TLS": ["http", 443, false],
	}
	{true | lib.https with input as {"destination": {"scheme": scheme, "port": port}}} == {true | want}
}

test_media_type[text] if {
	some text, want in {
		"application/json": "application/json",
		"Application/JSON ; charset=utf-8": "application/json",
		"text/plain;x=application/json": "text/plain",
	}
	lib.media_type == want with input as {"request": {"content_type": text}}
}

test_no_media_type if not lib.media_type with input as {"request": {}}

test_values if {
	lib.one(["a"]) == "a"
	not lib.one([])
	not lib.one(["a", "a"])
	{x | x := lib.one(data.nothing)} == set()
	lib.all_in(["a", "b"], {"a", "b", "c"})
	lib.all_in(["a"], ["a"])
	lib.all_in(["a"], {"a": true})
	not lib.all_in(["a", "x"], {"a", "b"})
	not lib.all_in([], {"a"})
	{true | lib.all_in(data.nothing, {"a"})} == set()
	lib.any_in(["x", "a"], {"a"})
	lib.any_in(["x", "a"], ["a"])
	not lib.any_in(["x"], {"a"})
	not lib.any_in([], {"a"})
	lib.tokens(["gzip, BR", "zstd,"]) == {"gzip", "br", "zstd"}
	lib.tokens([]) == set()
}

get := {
	"destination": {"host": "api.example.com", "host_suffixes": ["api.example.com", "example.com", "com"], "port": 443, "scheme": "https"},
	"request": {"method": "GET", "path": "/v1/items", "query": {"page": ["1"]}, "headers": {}},
}

test_together if {
	d := sallyport.egress.decision with input as get
	d.allow
	d.deny == set()
}

test_refused[label] if {
	some label, patch in {
		"a write": {"request": {"method": "POST"}},
		"another path": {"request": {"path": "/v10/items"}},
		"a parameter twice": {"request": {"query": {"page": ["1", "2"]}}},
		"no parameter": {"request": {"query": {"page": []}}},
		"a host that is switched off": {"destination": {"host": "old.example.com"}},
		"without TLS": {"destination": {"scheme": "http"}},
	}
	d := sallyport.egress.decision with input as object.union(get, patch)
	not d.allow
}

test_purpose[label] if {
	some label, [purposes, type, want] in {
		"named": [["build"], "application/json; charset=utf-8", true],
		"another": [["build", "mining"], "application/json", false],
		"another type": [["build"], "text/plain", false],
	}
	d := sallyport.egress.decision with input as {
		"destination": {"host": "a.upload.example.org", "host_suffixes": ["a.upload.example.org", "upload.example.org"]},
		"request": {"content_type": type, "headers": {"x-purpose": purposes}},
	}
	d.allow == want
}

test_denied[code] if {
	some code, patch in {
		"admin": {"request": {"path": "/%2FADMIN/x"}},
		"debug": {"request": {"query": {"debug": ["0", "1"]}}},
		"no_store": {"request": {"headers": {"cache-control": ["max-age=0, No-Store"]}}},
		"metadata": {"destination": {"host": "metadata.goog"}},
	}
	d := sallyport.egress.decision with input as object.union(get, patch)
	d.deny == {code}
}

test_is_label[text] if {
	some text, want in {
		"t1": true,
		"a-b": true,
		"a": true,
		"": false,
		"-a": false,
		"a-": false,
		"A": false,
		"a.b": false,
		"a/b": false,
		"a\n": false,
		"a%2Fb": false,
	}
	{true | lib.is_label(text)} == {true | want}
}
