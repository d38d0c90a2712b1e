package differ

import (
	"fmt"
	"strings"
)

// lines are request lines that are none, or of other versions.
func lines(g group) {
	for _, v := range []string{"HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/2", "HTTP/3", "HTTP/1.10", "HTTP/01.1", "HTTP/1.01", "HTTP/1,1", "http/1.1", "Http/1.1", "HTTP/1.", "HTTP/.1", "HTTP/", "HTTP", "HTTP-1.1", "HTTPS/1.1", "ICY/1.1", "RTSP/1.0", "HTTP/1.1x", "HTTP/+1.1", "HTTP/1.-1", "HTTP/11", "HTTP/1.1;a"} {
		g.add(refused, "version-"+v, msg("GET /{id} "+v)+behind)
	}
	for _, l := range []named{
		{"0.9", "GET /{id}"}, {"0.9-space", "GET /{id} "}, {"version-space", "GET /{id} HTTP/ 1.1"}, {"version-space-behind", "GET /{id} HTTP/1.1 "}, {"version-tab-behind", "GET /{id} HTTP/1.1\t"},
		{"no-target", "GET HTTP/1.1"}, {"empty-target", "GET  HTTP/1.1"}, {"two-spaces", "GET  /{id} HTTP/1.1"}, {"two-spaces-behind", "GET /{id}  HTTP/1.1"}, {"tab", "GET\t/{id}\tHTTP/1.1"}, {"tab-behind", "GET /{id}\tHTTP/1.1"},
		{"vt", "GET\x0b/{id} HTTP/1.1"}, {"ff", "GET /{id}\x0cHTTP/1.1"}, {"nbsp", "GET\xa0/{id} HTTP/1.1"}, {"space-first", " GET /{id} HTTP/1.1"}, {"tab-first", "\tGET /{id} HTTP/1.1"}, {"crlf-first", "\r\nGET /{id} HTTP/1.1"},
		{"lf-first", "\nGET /{id} HTTP/1.1"}, {"cr-first", "\rGET /{id} HTTP/1.1"}, {"nul-first", "\x00GET /{id} HTTP/1.1"}, {"bom", "\xef\xbb\xbfGET /{id} HTTP/1.1"}, {"space-in-target", "GET /{id} x HTTP/1.1"}, {"two-lines", "GET /{id} HTTP/1.1\r\nGET /{id}/2 HTTP/1.1"},
		{"response", "HTTP/1.1 200 OK"}, {"only-method", "GET"}, {"empty", ""}, {"colon", "GET: /{id} HTTP/1.1"}, {"two-versions", "GET /{id} HTTP/1.1 HTTP/1.0"}, {"nul-target", "GET /{id}\x00x HTTP/1.1"}, {"cr-target", "GET /{id}\rx HTTP/1.1"},
	} {
		g.add(refused, l.name, msg(l.text)+behind)
	}
	g.add(arrives, "1.0", msg("GET /{id} HTTP/1.0"))
	g.add(either, "1.0-keep-alive", msg("GET /{id} HTTP/1.0", "Connection: keep-alive")+behind)
	g.add(refused, "too-long", msg("GET /{id}?"+strings.Repeat("x", 20<<10)+" HTTP/1.1"))
	g.add(arrives, "long", msg("GET /{id}?"+strings.Repeat("x", 4<<10)+" HTTP/1.1"))
	g.add(refused, "binary", "\x16\x03\x01\x02\x00\x01\x00"+get())
	g.add(refused, "garbage", strings.Repeat("A", 200)+"\r\n\r\n"+behind)
	g.add(refused, "cut", "GET /{id} HTTP/1.1\r\nHost: {host}\r\nX-Case: {id}\r\n")
}

// lineEnds are ends of lines that are not CR LF.
func lineEnds(g group) {
	for _, e := range []named{{"lf", "\n"}, {"cr", "\r"}, {"crcrlf", "\r\r\n"}, {"lfcr", "\n\r"}, {"vt", "\x0b"}, {"nel", "\x85"}, {"nul-lf", "\x00\n"}, {"space-lf", " \n"}} {
		full := []string{"GET /{id} HTTP/1.1", "Host: {host}", "X-Case: {id}", "X-A: b", ""}
		for i, where := range []string{"line", "host", "field", "last-field", "empty"} {
			var b strings.Builder
			for j, l := range full {
				b.WriteString(l)
				if j == i {
					b.WriteString(e.text)
				} else {
					b.WriteString("\r\n")
				}
			}
			g.add(refused, e.name+"-"+where, b.String()+behind)
		}
		g.add(refused, e.name+"-all", strings.ReplaceAll(get("X-A: b"), "\r\n", e.text)+behind)
	}
	g.add(refused, "lf-smuggled", get("X-A: b\n\nGET /{id}/smuggled HTTP/1.1\nHost: {host}\n\n"))
	g.add(refused, "cr-smuggled", get("X-A: b\r\rGET /{id}/smuggled HTTP/1.1\rHost: {host}\r\r"))
}

// methods are methods that some servers take for others.
func methods(g group) {
	for i, m := range []string{"get", "GeT", "Get", "G ET", "GET\x00", "GET,", "GET/", "!GET", `"GET"`, "GET;", "GET%20", "ПОСТ", "GET\x7f", "GET\x80", "PRI", "GET,POST", "<GET>"} {
		g.add(refused, fmt.Sprintf("none-%d", i), msg(m+" /{id} HTTP/1.1")+behind)
	}
	for _, m := range []string{"TRACE", "TRACK", "DEBUG", "PURGE", "BAN", "FOO", "M-SEARCH", "LINK", "UNLINK", "BREW", "BIND", "ACL", "SUBSCRIBE", "SOURCE", "CONNECT", "ANNOUNCE", "DESCRIBE", "VERSION-CONTROL", "X", strings.Repeat("X", 23), strings.Repeat("X", 300)} {
		name := m
		if len(m) > 20 {
			name = fmt.Sprintf("long-%d", len(m))
		}
		g.add(refused, name, msg(m+" /{id} HTTP/1.1")+behind)
	}
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		g.add(arrives, m, msg(m+" /{id} HTTP/1.1"))
	}
	for _, m := range []string{"PROPFIND", "REPORT", "SEARCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "QUERY"} {
		g.add(either, m, msg(m+" /{id} HTTP/1.1")+behind)
	}
	g.add(refused, "connect-authority", "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nX-Case: {id}\r\n\r\n"+behind)
	g.add(refused, "connect-elsewhere", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nX-Case: {id}\r\n\r\n"+behind)
	for _, f := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"} {
		g.add(arrives, "override-"+f, post(f+": DELETE"))
	}
}
