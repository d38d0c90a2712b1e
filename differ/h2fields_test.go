package differ

import (
	"strings"
)

// pseudos are pseudo-fields of HTTP/2 that are missing, twice, unknown or odd.
func pseudos(g group) {
	send := func(w want, name string, fields ...string) {
		g.h2(w, name, &stream{fields: append(fields, "x-case: {id}")})
	}
	m, s, a, p := ":method: GET", ":scheme: https", ":authority: {host}", ":path: /{id}"
	send(arrives, "order", p, a, s, m)
	send(refused, "no-method", s, a, p)
	send(refused, "no-scheme", m, a, p)
	send(refused, "no-path", m, s, a)
	send(either, "no-authority", m, s, p, "host: {host}")
	send(refused, "no-host-at-all", m, s, p)
	send(refused, "none")
	for _, f := range []string{m, s, a, p, ":method: POST", ":scheme: http", ":authority: evil.example", ":path: /{id}/2"} {
		name := strings.NewReplacer(":", "", " ", "-", "/", ".", "{", "", "}", "").Replace(f)
		send(refused, "twice-"+name, m, s, a, p, f)
	}
	send(refused, "behind-fields", m, s, "x-a: b", a, p)
	send(refused, "path-behind", m, s, a, "x-a: b", p)
	send(refused, "unknown", m, s, a, p, ":foo: bar")
	send(refused, "status", m, s, a, p, ":status: 200")
	send(refused, "protocol", m, s, a, p, ":protocol: websocket")
	send(refused, "extended-connect", ":method: CONNECT", s, a, p, ":protocol: websocket")
	send(refused, "connect", ":method: CONNECT", a)
	send(refused, "connect-elsewhere", ":method: CONNECT", ":authority: evil.example:443")
	send(refused, "empty-pseudo", m, s, a, p, ":: x")
	send(refused, "capital-pseudo", ":Method: GET", s, a, p)
	send(refused, "empty-method", ":method: ", s, a, p)
	send(either, "empty-authority", m, s, ":authority: ", p, "host: {host}")
	send(refused, "empty-path", m, s, a, ":path: ")
	send(refused, "empty-scheme-and-host", m, ":scheme: ", ":authority: ", p)
	for _, v := range []string{"http", "ftp", "HTTPS", "", "file", "ws"} {
		send(either, "scheme-"+v+".", m, ":scheme: "+v, a, p)
	}
	for _, v := range []named{{"with-host", "https://evil.example/"}, {"crlf", "https\r\nx: y"}, {"space", "https "}, {"nul", "https\x00"}} {
		send(either, "scheme-"+v.name, m, ":scheme: "+v.text, a, p)
	}
	for _, v := range []named{{"lower", "get"}, {"space", "GET "}, {"request-line", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\nGET"}, {"crlf", "GET\r\nX: y"}, {"target", "GET /{id}/2 HTTP/1.1"}, {"nul", "GET\x00"}, {"tab", "GET\t"}, {"high", "GET\xff"}, {"comma", "GET,POST"}, {"trace", "TRACE"}, {"pri", "PRI"}, {"foo", "FOO"}, {"long", strings.Repeat("X", 200)}} {
		send(refused, "method-"+v.name, ":method: "+v.text, s, a, p)
	}
	for _, v := range []named{{"other", "evil.example"}, {"other-port", "{name}:1"}, {"userinfo", "a@{host}"}, {"at-behind", "{host}@evil.example"}, {"space", "{host} x"}, {"crlf", "{host}\r\nX-A: b"}, {"nul", "{host}\x00"}, {"path", "{host}/x"}, {"query", "{host}?x"}, {"fragment", "{host}#x"}, {"list", "{host},evil.example"}, {"backslash", "{host}\\x"}, {"encoded", "%6eginx.example.com:{port}"}, {"bracket", "[{host}]"}, {"port-zero-first", "{name}:0{port}"}, {"scheme", "https://{host}"}, {"localhost", "localhost:{port}"}, {"high", "{name}\xff:{port}"}, {"empty-name", ":{port}"}} {
		send(refused, "authority-"+v.name, m, s, ":authority: "+v.text, p)
	}
	for _, v := range []named{{"capitals", "{HOST}"}, {"dot", "{name}.:{port}"}, {"no-port", "{name}"}} {
		send(arrives, "authority-"+v.name, m, s, ":authority: "+v.text, p)
	}
	send(either, "host-same", m, s, a, p, "host: {host}")
	send(refused, "host-other", m, s, a, p, "host: evil.example")
	send(refused, "host-twice", m, s, a, p, "host: {host}", "host: evil.example")
	send(refused, "host-list", m, s, a, p, "host: {host}, evil.example")
	send(refused, "host-crlf", m, s, a, p, "host: {host}\r\nx: y")
	send(refused, "host-only-other", m, s, p, "host: evil.example")
	send(refused, "host-empty", m, s, a, p, "host: ")
}

// h2Fields are fields that HTTP/2 forbids, or that become something else in HTTP/1.
func h2Fields(g group) {
	send := func(w want, name string, body string, fields ...string) *kase {
		method := "GET"
		if body != "" {
			method = "POST"
		}
		return g.h2(w, name, &stream{fields: head(method, "/{id}", fields...), body: body})
	}
	for _, f := range []string{"connection: close", "connection: x-case", "keep-alive: 1", "proxy-connection: close", "transfer-encoding: chunked", "transfer-encoding: identity", "upgrade: h2c", "upgrade: websocket", "te: gzip", "te: trailers, gzip"} {
		send(either, strings.NewReplacer(": ", "-", ", ", ".").Replace(f), "", f)
		send(either, strings.NewReplacer(": ", "-", ", ", ".").Replace(f)+"-body", "0\r\n\r\n"+behind, f)
	}
	for _, f := range []string{"Transfer-Encoding: chunked", "X-Upper: 1", "Host: evil.example", "Connection: close", "Content-Length: 5"} {
		send(refused, "capital-"+strings.Split(f, ":")[0], "", f)
	}
	for _, f := range []named{
		{"name-crlf", "x-a\r\nx-b: c"}, {"name-lf", "x-a\nx-b: c"}, {"name-cr", "x-a\rb: c"}, {"name-nul", "x-a\x00: c"}, {"name-space", "x a: c"}, {"name-space-behind", "x-a : c"}, {"name-colon", "x-a:b: c"}, {"name-tab", "x-a\t: c"}, {"name-high", "x-\xff: c"}, {"name-del", "x-\x7f: c"}, {"name-empty", ": c"}, {"name-request", "x: y\r\n\r\nGET / HTTP/1.1\r\nx: z"}, {"name-te", "transfer-encoding\r\nx: chunked"},
		{"name-bracket", "x[a]: c"}, {"name-quote", "x\"a: c"}, {"name-slash", "x/a: c"}, {"name-at", "x@a: c"}, {"name-comma", "x,a: c"}, {"name-utf8", "x-ü: c"},
		{"value-crlf", "x-a: b\r\nx-b: c"}, {"value-lf", "x-a: b\nx-b: c"}, {"value-cr", "x-a: b\rc"}, {"value-nul", "x-a: b\x00c"}, {"value-te", "x-a: b\r\ntransfer-encoding: chunked"}, {"value-request", "x-a: b\r\n\r\nGET /{id}/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"}, {"value-bell", "x-a: b\x07"}, {"value-del", "x-a: b\x7f"}, {"value-esc", "x-a: \x1b[0m"},
		{"cookie-crlf", "cookie: a=b\r\nx-b: c"}, {"user-agent-lf", "user-agent: a\nx-b: c"}, {"te-vt", "te: trailers\x0b"},
	} {
		send(refused, f.name, "", f.text)
	}
	for _, f := range []named{{"value-space-before", "x-a:  b"}, {"value-space-behind", "x-a: b "}, {"value-tab", "x-a: \tb\t"}, {"value-high", "x-a: \xff"}, {"value-utf8", "x-a: ü"}, {"underscore", "x_a: b"}, {"length-underscore", "content_length: 5"}, {"te-underscore", "transfer_encoding: chunked"}, {"name-long", strings.Repeat("x", 300) + ": b"}, {"value-long", "x-a: " + strings.Repeat("x", 6<<10)}} {
		send(either, f.name, "", f.text)
	}
	send(arrives, "te-trailers", "", "te: trailers")
	send(arrives, "cookies", "", "cookie: a=1", "cookie: b=2", "cookie: c=3")
	send(arrives, "value-empty", "", "x-a: ")
	send(arrives, "twice", "", "x-a: b", "x-a: c")
	for _, f := range []string{"x-judged: forged", "x_judged: forged", "x-forwarded-for: 1.1.1.1", "x-forwarded-host: evil.example", "forwarded: for=1.1.1.1", "x-original-url: /admin", "x-http-method-override: DELETE", "http2-settings: AAMAAABk", "via: 2 other", "early-data: 1", "max-forwards: 0", "range: bytes=0-0", "priority: u=1", "trailer: x-a", "expect: 100-continue"} {
		w := arrives
		if strings.HasPrefix(f, "expect") || strings.HasPrefix(f, "max-forwards") {
			w = either
		}
		send(w, "field-"+strings.Split(f, ":")[0], "", f)
	}
	for _, f := range []string{"authorization", "content-type", "content-length", "x-api-key", "proxy-authorization"} {
		send(refused, "two-"+f, "hello", f+": 5", f+": 6")
	}
	for _, l := range []named{{"short", "6"}, {"long", "4"}, {"zero", "0"}, {"plus", "+5"}, {"minus", "-5"}, {"hex", "0x5"}, {"list", "5,5"}, {"list-space", "5, 5"}, {"space", " 5"}, {"empty", ""}, {"word", "five"}, {"huge", "18446744073709551621"}, {"zero-first", "05"}, {"crlf", "5\r\nx: y"}, {"nul", "5\x00"}} {
		w := broken
		if l.name == "zero" { // the rest may come too late to be seen
			w = either
		}
		send(w, "length-"+l.name, "hello", "content-length: "+l.text)
	}
	send(broken, "length-without-body", "", "content-length: 5")
	send(broken, "length-too-long-request", "hello"+behind, "content-length: 5")
	for _, f := range []named{{"pseudo", ":path: /evil"}, {"method", ":method: POST"}, {"capital", "X-Sum: 1"}, {"crlf", "x-sum: 1\r\nx-b: c"}, {"name-space", "x sum: 1"}} {
		g.h2(broken, "trailer-"+f.name, &stream{fields: head("POST", "/{id}"), body: "hello", trailers: []string{f.text}})
	}
	for _, f := range []string{"content-length: 1", "host: evil.example", "authorization: Bearer x", "x-judged: forged", "x_judged: forged", "cookie: a=b", "expect: 100-continue", "x-case: other", "connection: close", "transfer-encoding: chunked", "te: trailers"} {
		name := strings.Split(f, ":")[0]
		g.h2(either, "trailer-"+name, &stream{fields: head("POST", "/{id}", "trailer: "+name), body: "hello", trailers: []string{f}})
	}
}

// h2Paths are the targets of HTTP/1 as :path, and what can only stand there.
func h2Paths(g group) {
	for _, f := range forms {
		w := f.want
		if w == refused && strings.ContainsAny(f.target, "#") {
			w = either
		}
		g.h2(w, f.name, &stream{fields: head("GET", f.target)})
	}
	for _, p := range []named{{"asterisk", "*"}, {"no-slash", "{id}"}, {"absolute", "https://evil.example/{id}"}, {"absolute-same", "https://{host}/{id}"}, {"authority", "{host}"}, {"space", "/{id} x"}, {"version", "/{id} HTTP/1.1"}, {"request", "/{id} HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /{id}/2"}, {"crlf", "/{id}\r\nx: y"}, {"lf", "/{id}\nx: y"}, {"cr", "/{id}\rx"}, {"nul", "/{id}\x00x"}, {"tab", "/{id}\tx"}, {"question", "?{id}"}, {"relative", "../{id}"}, {"space-first", " /{id}"}, {"two-slashes-host", "//evil.example/../{id}"}} {
		g.h2(refused, "odd-"+p.name, &stream{fields: head("GET", p.text)})
	}
}
