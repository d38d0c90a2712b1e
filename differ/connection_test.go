package differ

import "strings"

// connections are fields that end at the next hop, and what nominates others.
func connections(g group) {
	for _, v := range []named{{"close", "close"}, {"keep-alive", "keep-alive"}, {"both", "close, keep-alive"}, {"empty", ""}, {"commas", ", ,"}, {"nominates", "X-Hop"}, {"nominates-ours", "X-Judged"}, {"nominates-via", "Via"}, {"unknown", "foo bar"}, {"quoted", `"close"`}} {
		g.add(arrives, v.name, get("Connection: "+v.text, "X-Hop: 1"))
	}
	for _, v := range []string{"Host", "Content-Length", "Transfer-Encoding", "Authorization", "Cookie", "Content-Type", "Range", "Origin", "X-Api-Key", "Cache-Control", "Content-Encoding"} {
		g.add(refused, "nominates-"+v, get("Connection: "+v))
		g.add(refused, "nominates-close-"+v, get("Connection: close", "Connection: x, "+strings.ToLower(v)))
	}
	for _, f := range []string{"Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5", "TE: trailers", "TE: chunked", "TE: gzip;q=0.5", "Trailer: X-A", "Trailer: Content-Length", "Proxy: http://evil.example", "Proxy-Foo: bar", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "Upgrade-Insecure-Requests: 1", "Via: 1.1 other", "CDN-Loop: a", "Sallyport-Decision: x", "Early-Data: 1", "Alt-Used: evil.example"} {
		name := strings.NewReplacer(":", "", " ", "-").Replace(f)
		g.add(arrives, "field-"+name, get(f))
	}
	g.add(either, "field-Max-Forwards", get("Max-Forwards: 0")) // Apache, as a proxy, answers by itself
	for _, u := range []string{"websocket", "h2c", "HTTP/2.0", "TLS/1.2", "foo", "websocket, h2c", "h2c, websocket"} {
		name := strings.NewReplacer("/", "-", ", ", "+").Replace(u)
		g.add(either, "upgrade-"+name, get("Connection: Upgrade", "Upgrade: "+u, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")+behind)
		g.add(either, "upgrade-"+name+"-alone", get("Upgrade: "+u)+behind)
		g.add(either, "upgrade-"+name+"-post", post("Connection: Upgrade", "Upgrade: "+u, "Content-Length: 5")+"hello"+behind)
	}
	g.add(either, "upgrade-h2c-settings", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")+"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	g.add(refused, "prior-knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
}

// expectations are fields of Expect, with a body that comes at once, or never.
func expectations(g group) {
	k := g.add(arrives, "continue", post("Expect: 100-continue", "Content-Length: 5")+"hello")
	k.body = "hello"
	k = g.add(arrives, "capitals", post("Expect: 100-CONTINUE", "Content-Length: 5")+"hello")
	k.body = "hello"
	k = g.add(arrives, "chunked", post("Expect: 100-continue", "Transfer-Encoding: chunked")+"5\r\nhello\r\n0\r\n\r\n")
	k.body = "hello"
	g.add(either, "no-body", get("Expect: 100-continue")+behind)
	g.add(either, "zero", post("Expect: 100-continue", "Content-Length: 0")+behind)
	g.add(broken, "never", post("Expect: 100-continue", "Content-Length: 5"))
	g.add(either, "skipped", post("Expect: 100-continue", "Content-Length: "+itoa(len(behind)))+behind)
	for _, v := range []named{{"other", "foo"}, {"empty", ""}, {"list", "100-continue, foo"}, {"parameter", "100-continue;a"}, {"space", "100 continue"}, {"spaces", "  100-continue"}} {
		g.add(either, v.name, post("Expect: "+v.text, "Content-Length: 5")+"hello")
	}
	g.add(either, "twice", post("Expect: 100-continue", "Expect: 100-continue", "Content-Length: 5")+"hello")
	g.add(either, "1.0", strings.Replace(post("Expect: 100-continue", "Content-Length: 5"), "HTTP/1.1", "HTTP/1.0", 1)+"hello")
}

// pipelines are more than one request on a connection, and what is none behind one.
func pipelines(g group) {
	next := func(n string) string { return msg("GET /{id}/" + n + " HTTP/1.1") }
	many := func(w want, name string, count int, raw string) { g.add(w, name, raw).count = count }
	many(arrives, "two", 2, next("1")+next("2"))
	many(arrives, "ten", 10, strings.Repeat(next("n"), 10))
	many(arrives, "bodies", 3, post("Content-Length: 5")+"hello"+post("Transfer-Encoding: chunked")+"5\r\nworld\r\n0\r\n\r\n"+next("3"))
	many(arrives, "head", 2, msg("HEAD /{id} HTTP/1.1")+next("2"))
	many(arrives, "other-host", 1, next("1")+bare("GET /{id} HTTP/1.1", "Host: evil.example", "X-Case: {id}"))
	many(arrives, "malformed", 1, next("1")+msg("get /{id} HTTP/1.1")+next("3"))
	many(arrives, "both-lengths", 1, next("1")+post("Content-Length: 4", "Transfer-Encoding: chunked")+"0\r\n\r\n"+next("3"))
	many(arrives, "garbage", 1, next("1")+"\x00\xff garbage\r\n\r\n"+next("3"))
	many(arrives, "empty-line", 1, next("1")+"\r\n"+next("2"))
	many(arrives, "lf", 1, next("1")+"\n"+next("2"))
	many(arrives, "close", 1, get("Connection: close")+next("2"))
	many(arrives, "1.0", 1, msg("GET /{id} HTTP/1.0")+next("2"))
	many(arrives, "0.9", 1, next("1")+"GET /{id}/2\r\n"+next("3"))
	many(arrives, "half", 1, next("1")+"GET /{id}/2 HTTP/1.1\r\nHost: {ho")
	many(arrives, "connect", 1, next("1")+"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"+next("3"))
	many(arrives, "response", 1, next("1")+"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"+next("3"))
	many(arrives, "tls", 1, next("1")+"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
	many(arrives, "preface", 1, next("1")+"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+next("3"))
	many(arrives, "longer-than-said", 1, post("Content-Length: 5")+"helloGET")
	many(either, "body-of-get", 1, get()+"hello"+next("2"))
	many(either, "upgrade-first", 1, get("Connection: Upgrade", "Upgrade: foo")+next("2"))
}

// contents are fields about a body or a part of one.
func contents(g group) {
	for _, v := range []named{{"first", "bytes=0-0"}, {"last", "bytes=-1"}, {"many", "bytes=0-0,1-1,2-2"}, {"overlaps", "bytes=0-,0-,0-"}, {"huge", "bytes=0-18446744073709551615"}, {"reversed", "bytes=5-1"}, {"unit", "items=0-1"}, {"empty", ""}, {"minus", "bytes=--1"}} {
		g.add(arrives, "range-"+v.name, get("Range: "+v.text))
	}
	for _, v := range []named{{"json", "application/json"}, {"charset", "application/json; charset=utf-16"}, {"two-charsets", "application/json; charset=utf-8; charset=utf-7"}, {"list", "application/json, text/html"}, {"none", ""}, {"odd", "application/json;"}, {"quoted", `text/plain; a="b\"c"`}} {
		k := g.add(arrives, "type-"+v.name, post("Content-Type: "+v.text, "Content-Length: 13")+`{"a":1,"a":2}`)
		k.body = `{"a":1,"a":2}`
	}
	for _, v := range []string{"gzip", "identity", "deflate", "br", "gzip, gzip", "chunked", "x"} {
		k := g.add(arrives, "encoding-"+strings.ReplaceAll(v, ", ", "+"), post("Content-Encoding: "+v, "Content-Length: 5")+"hello")
		k.body = "hello"
	}
	for _, f := range []string{"If-Match: *", "If-None-Match: a, b", "If-Range: x", "Accept-Encoding: identity;q=0", "Cache-Control: no-store", "Pragma: no-cache", "Cookie: a=b; c", "Cookie: $Version=1", "Origin: null", "Referer: http://evil.example/", "Content-Disposition: x", "Content-MD5: x", "Content-Range: bytes 0-0/1", "X-Api-Key: a", "Authorization: Basic x", "Date: x", "Age: 1", "From: a", "DNT: 1", "Content-Length-X: 5"} {
		g.add(arrives, "field-"+strings.NewReplacer(":", "", " ", "-", "/", "-", ";", "", "$", "").Replace(f), get(f))
	}
	body := strings.Repeat("x", 100<<10)
	k := g.add(arrives, "large", post("Content-Length: "+itoa(len(body)))+body)
	k.body = body
	k = g.add(arrives, "binary", post("Content-Length: 6")+"\x00\r\n\r\n\xff")
	k.body = "\x00\r\n\r\n\xff"
	k = g.add(arrives, "request-in-body", post("Content-Length: "+itoa(len("GET / HTTP/1.1\r\nHost: a\r\n\r\n")))+"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	k.body = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
}

// inTLS are some of the above where the connection is opened.
func inTLS(g group) {
	for _, k := range *g.cases {
		if k.group == "length" || k.group == "absolute" {
			c := g.add(k.want, k.group+"-"+k.name, strings.NewReplacer("http://", "https://", "HTTP://", "HTTPS://", "https://", "http://").Replace(k.raw))
			c.body, c.count = k.body, k.count
		}
	}
}

// explicit are targets for a proxy that is told of.
func explicit(g group) {
	to := func(w want, name, target string, fields ...string) {
		g.add(w, name, msg("GET "+target+" HTTP/1.1", fields...))
	}
	to(arrives, "same", "http://{host}/{id}")
	to(arrives, "capitals", "HTTP://{HOST}/{id}")
	to(arrives, "dot", "http://{name}.:{port}/{id}")
	to(refused, "origin-form", "/{id}")
	to(refused, "asterisk", "*")
	to(refused, "authority", "{host}")
	to(refused, "https", "https://{host}/{id}")
	to(refused, "ftp", "ftp://{host}/{id}")
	to(refused, "userinfo", "http://a:b@{host}/{id}")
	to(refused, "other", "http://other.example/{id}")
	to(refused, "one-slash", "http:/{host}/{id}")
	to(refused, "no-scheme", "//{host}/{id}")
	to(refused, "dots", "http://{host}/../{id}")
	to(refused, "backslash", "http://{host}\\{id}")
	to(refused, "encoded-host", "http://%6eginx.example.com:{port}/{id}")
	to(refused, "port-zero-first", "http://{name}:0{port}/{id}")
	to(refused, "fragment", "http://{host}/{id}#a")
	to(refused, "upgrade", "http://{host}/{id}", "Connection: Upgrade", "Upgrade: foo")
	to(arrives, "nominates", "http://{host}/{id}", "Proxy-Connection: X-A, close", "X-A: b")
	to(arrives, "proxy-fields", "http://{host}/{id}", "Proxy-Authorization: Basic eDp5", "Proxy-Foo: x")
	g.add(refused, "host-differs", bare("GET http://{host}/{id} HTTP/1.1", "Host: evil.example", "X-Case: {id}"))
	g.add(arrives, "two-hosts", msg("GET http://{host}/{id}/1 HTTP/1.1")+bare("GET http://evil.example/{id} HTTP/1.1", "Host: {host}", "X-Case: {id}"))
	g.add(refused, "connect-body", "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello"+behind)
	g.add(refused, "connect-differs", "CONNECT {host} HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"+behind)
	g.add(arrives, "connect-early", "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"+get()).before = 1
	g.add(refused, "connect-inside", "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\nCONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n"+behind)
	g.add(refused, "connect-other-inside", "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"+bare("GET /{id} HTTP/1.1", "Host: evil.example", "X-Case: {id}"))
	g.add(refused, "connect-proxy-form", "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"+msg("GET http://evil.example/{id} HTTP/1.1"))
}
