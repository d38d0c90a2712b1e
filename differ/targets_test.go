package differ

import "strings"

// forms are what stands behind a path's beginning, for HTTP/1 and HTTP/2 alike.
var forms = []struct {
	name, target string
	want         want
}{
	{"plain", "/{id}", arrives}, {"slash-end", "/{id}/", arrives}, {"encoded-letter", "/{id}/%61", arrives}, {"encoded-space", "/{id}/a%20b", arrives}, {"utf8", "/{id}/%C3%BC", arrives}, {"plus", "/{id}/a+b", arrives},
	{"semicolon", "/{id};a=b", arrives}, {"semicolon-segment", "/{id};a=b/c", arrives}, {"colon", "/{id}:80", arrives}, {"at", "/{id}@evil.example", arrives}, {"tilde", "/~{id}", arrives}, {"percent", "/{id}/100%25", arrives}, {"brackets", "/{id}/%5B1%5D", arrives},
	{"query", "/{id}?a=b", arrives}, {"query-empty", "/{id}?", arrives}, {"query-two", "/{id}?a=1&a=2", arrives}, {"query-plus", "/{id}?a=b+c", arrives}, {"query-space", "/{id}?a=b%20c", arrives}, {"query-question", "/{id}?a?b", arrives},
	{"query-slash", "/{id}?/../x", arrives}, {"query-empties", "/{id}?&&a=&=b", arrives}, {"query-encoded-amp", "/{id}?a=1%26b=2", arrives}, {"query-encoded-name", "/{id}?%61=1", arrives}, {"query-brackets", "/{id}?a%5B%5D=1", arrives}, {"query-url", "/{id}?u=http://x/", arrives}, {"query-encoded-semicolon", "/{id}?a=1%3Bb=2", arrives},
	{"double-slash", "//{id}", either}, {"triple-slash", "///{id}", either}, {"inner-slashes", "/{id}//a", either}, {"encoded-slash", "/{id}/a%2Fb", either}, {"encoded-slash-lower", "/{id}/a%2fb", either}, {"encoded-question", "/{id}%3Fa=b", either}, {"encoded-hash", "/{id}%23a", either}, {"encoded-semicolon", "/{id}%3Ba", either}, {"raw-brackets", "/{id}/[1]", either}, {"raw-pipe", "/{id}/a|b", either}, {"raw-quote", "/{id}/a\"b", either}, {"raw-caret", "/{id}/a^b", either}, {"raw-braces", "/{id}/a<b>", either},
	{"query-lf", "/{id}?a=%0d%0ab", either}, {"query-nul-value", "/{id}?a=%00", either}, {"query-brace", "/{id}?a=<b>", either}, {"query-backslash", "/{id}?a=\\b", arrives},
	{"dot", "/{id}/./a", refused}, {"dot-end", "/{id}/.", refused}, {"dots", "/{id}/../a", refused}, {"dots-end", "/{id}/..", refused}, {"dots-first", "/../{id}", refused}, {"dots-many", "/a/../../../{id}", refused},
	{"dots-encoded", "/{id}/%2e%2e/a", refused}, {"dots-upper", "/{id}/%2E%2E/a", refused}, {"dots-half", "/{id}/.%2e/a", refused}, {"dots-half-first", "/{id}/%2e./a", refused}, {"dot-encoded", "/{id}/%2e/a", refused}, {"dots-slash-encoded", "/{id}/..%2fa", refused}, {"dots-all-encoded", "/{id}/%2e%2e%2fa", refused},
	{"dots-parameter", "/{id}/..;/a", refused}, {"dots-parameter-value", "/{id}/..;x=1/a", refused}, {"dot-parameter", "/{id}/.;/a", refused}, {"dots-encoded-parameter", "/{id}/%2e%2e;/a", refused}, {"dots-encoded-semicolon", "/{id}/..%3b/a", refused}, {"dots-backslash", "/{id}/..\\a", refused}, {"dots-backslash-encoded", "/{id}/..%5ca", refused},
	{"backslash", "/{id}\\a", refused}, {"backslash-encoded", "/{id}%5ca", refused}, {"nul", "/{id}%00", refused}, {"nul-suffix", "/{id}%00.txt", refused}, {"lf", "/{id}%0a", refused}, {"crlf", "/{id}%0d%0aX-A:%20b", refused}, {"tab", "/{id}%09", refused}, {"del", "/{id}%7f", refused}, {"esc", "/{id}%1b", refused},
	{"twice", "/{id}/%252e%252e/a", refused}, {"twice-slash", "/{id}%252fa", refused}, {"twice-digits", "/{id}/%25%32%65%25%32%65/a", refused}, {"thrice", "/{id}/%25252e", refused}, {"overlong-dot", "/{id}/%c0%ae%c0%ae/a", refused}, {"overlong-slash", "/{id}%c0%afa", refused}, {"overlong-three", "/{id}/%e0%80%ae", refused}, {"high", "/{id}%ff", refused}, {"latin1", "/{id}/%fc", refused}, {"surrogate", "/{id}%ed%a0%80", refused},
	{"fullwidth-dot", "/{id}/%EF%BC%8E%EF%BC%8E/a", either}, {"fullwidth-slash", "/{id}%EF%BC%8Fa", either},
	{"u-escape", "/{id}/%u002e%u002e/a", refused}, {"bad-escape", "/{id}%zz", refused}, {"cut-escape", "/{id}%2", refused}, {"lone-percent", "/{id}%", refused}, {"percent-percent", "/{id}%%32%65", refused}, {"raw-high", "/{id}\xff", refused}, {"raw-utf8", "/{id}/ü", refused}, {"raw-del", "/{id}\x7f", refused},
	{"fragment", "/{id}#a", refused}, {"fragment-query", "/{id}?a#b", refused}, {"query-semicolon", "/{id}?a=1;b=2", refused}, {"query-nul-name", "/{id}?%00=1", refused}, {"query-bad-escape", "/{id}?a=%zz", refused}, {"query-cut-escape", "/{id}?a=%", refused}, {"query-high", "/{id}?a=%ff", refused}, {"query-raw-high", "/{id}?a=\xff", refused}, {"query-bell", "/{id}?a=\x07", refused},
	{"many-segments", "/{id}" + strings.Repeat("/a", 600), refused}, {"many-parameters", "/{id}?" + strings.Repeat("a&", 1200), refused},
}

// targets are request targets in origin form, and what is none.
func targets(g group) {
	for _, f := range forms {
		g.add(f.want, f.name, msg("GET "+f.target+" HTTP/1.1"))
	}
	for _, f := range []named{{"no-slash", "{id}"}, {"asterisk", "*"}, {"question", "?{id}"}, {"dot-first", "./{id}"}, {"encoded-first", "%2F{id}"}, {"semicolon-first", ";/{id}"}, {"authority", "{host}"}, {"backslash-first", "\\{id}"}, {"colon-first", ":80/{id}"}, {"at-first", "@evil.example/{id}"}} {
		g.add(refused, f.name, msg("GET "+f.text+" HTTP/1.1")+behind)
	}
	g.add(refused, "options-asterisk", msg("OPTIONS * HTTP/1.1")+behind)
	g.add(refused, "post-asterisk", msg("POST * HTTP/1.1")+behind)
	g.add(arrives, "options-slash-asterisk", msg("OPTIONS /{id}* HTTP/1.1"))
}

// absolutes are targets with a scheme, on a connection that was made for one origin.
func absolutes(g group) {
	g.add(arrives, "same", msg("GET http://{host}/{id}?a=b HTTP/1.1"))
	g.add(arrives, "capitals", msg("GET HTTP://{HOST}/{id} HTTP/1.1"))
	g.add(either, "no-path", msg("GET http://{host} HTTP/1.1"))
	g.add(either, "no-path-query", msg("GET http://{host}?a={id} HTTP/1.1"))
	for _, f := range []named{
		{"other-host", "http://evil.example/{id}"}, {"userinfo", "http://a@{host}/{id}"}, {"userinfo-host", "http://{host}@evil.example/{id}"}, {"userinfo-password", "http://{name}:80@evil.example/{id}"}, {"other-port", "http://{name}:1/{id}"}, {"default-port", "http://{name}/{id}"},
		{"one-slash", "http:/{host}/{id}"}, {"no-slash", "http:{host}/{id}"}, {"three-slashes", "http:///{host}/{id}"}, {"https", "https://{host}/{id}"}, {"ftp", "ftp://{host}/{id}"}, {"file", "file:///etc/passwd"}, {"ws", "ws://{host}/{id}"}, {"javascript", "javascript:alert(1)"}, {"data", "data:,x"},
		{"fragment", "http://{host}#/{id}"}, {"backslash", "http://{host}\\@evil.example/{id}"}, {"semicolon", "http://{host};@evil.example/{id}"}, {"encoded-host", "http://%6eginx.example.com/{id}"}, {"encoded-at", "http://{host}%40evil.example/{id}"}, {"bracket", "http://[{host}]/{id}"}, {"loopback6", "http://[::1]/{id}"}, {"empty-host", "http:///{id}"}, {"port-only", "http://:80/{id}"},
		{"comma", "http://{host},evil.example/{id}"}, {"space-encoded", "http://{host}%20/{id}"}, {"scheme-space", "http ://{host}/{id}"}, {"dots", "http://{host}/../{id}"}, {"no-scheme", "//{host}/../{id}"}, {"nested", "http://evil.example/http://{host}/{id}"},
	} {
		g.add(refused, f.name, msg("GET "+f.text+" HTTP/1.1")+behind)
	}
	g.add(refused, "host-empty", bare("GET http://{host}/{id} HTTP/1.1", "Host: ", "X-Case: {id}"))
	g.add(refused, "host-missing", bare("GET http://{host}/{id} HTTP/1.1", "X-Case: {id}"))
	g.add(refused, "host-differs", bare("GET http://{host}/{id} HTTP/1.1", "Host: evil.example", "X-Case: {id}"))
	g.add(refused, "target-differs", bare("GET http://evil.example/{id} HTTP/1.1", "Host: {host}", "X-Case: {id}"))
	g.add(refused, "both-elsewhere", bare("GET http://evil.example/{id} HTTP/1.1", "Host: evil.example", "X-Case: {id}"))
}

// hosts are fields and spellings of Host.
func hosts(g group) {
	with := func(w want, name string, fields ...string) {
		g.add(w, name, bare("GET /{id} HTTP/1.1", append(fields, "X-Case: {id}")...))
	}
	for _, v := range []named{
		{"empty", ""}, {"other", "evil.example"}, {"other-port", "{name}:1"}, {"port-empty", "{name}:"}, {"port-zero-first", "{name}:0{port}"}, {"port-plus", "{name}:+{port}"}, {"port-space", "{name}: {port}"}, {"port-huge", "{name}:99999"}, {"port-wraps", "{name}:83616"}, {"port-word", "{name}:http"}, {"two-ports", "{host}:80"},
		{"list", "{host}, evil.example"}, {"space", "{host} evil.example"}, {"tab", "{host}\tevil.example"}, {"userinfo", "a@{host}"}, {"at-behind", "{host}@evil.example"}, {"path", "{host}/a"}, {"query", "{host}?a"}, {"fragment", "{host}#a"}, {"backslash", "{host}\\a"}, {"encoded", "%6eginx.example.com:{port}"}, {"encoded-nul", "{name}%00:{port}"},
		{"nul", "{name}\x00:{port}"}, {"quote", `"{host}"`}, {"bracket", "[{host}]"}, {"bracket-name", "[{name}]:{port}"}, {"loopback", "127.0.0.1:{port}"}, {"loopback6", "[::1]:{port}"}, {"zone", "[fe80::1%25lo]:{port}"}, {"short-address", "127.1:{port}"}, {"hex-address", "0x7f000001:{port}"}, {"octal-address", "0177.0.0.1:{port}"}, {"decimal-address", "2130706433:{port}"}, {"localhost", "localhost:{port}"},
		{"scheme", "http://{host}"}, {"dot-first", ".{host}"}, {"two-dots", "{name}..:{port}"}, {"star", "*"}, {"suffix", "{name}.evil.example:{port}"}, {"prefix", "evil-{host}"}, {"high", "{name}\xff:{port}"}, {"fullwidth", "ｎginx.example.com:{port}"}, {"semicolon", "{host};a"}, {"comma-first", ",{host}"}, {"cr", "{host}\revil.example"}, {"lf", "{host}\nX-A: b"},
	} {
		with(refused, v.name, "Host: "+v.text)
	}
	for _, v := range []named{{"capitals", "{HOST}"}, {"dot", "{name}.:{port}"}, {"no-port", "{name}"}, {"spaces", "  {host}  "}, {"tabs", "\t{host}\t"}} {
		with(arrives, v.name, "Host: "+v.text)
	}
	with(refused, "missing")
	with(refused, "twice-same", "Host: {host}", "Host: {host}")
	with(refused, "twice-other", "Host: {host}", "Host: evil.example")
	with(refused, "twice-other-first", "Host: evil.example", "Host: {host}")
	with(refused, "twice-cases", "Host: {host}", "hOST: evil.example")
	with(refused, "twice-space-first", "Host: {host}", " Host: evil.example")
	with(refused, "space-colon", "Host : {host}")
	with(refused, "tab-colon", "Host\t: {host}")
	with(refused, "space-first", " Host: {host}")
	with(refused, "folded", "Host:\r\n {host}")
	with(refused, "folded-behind", "Host: {host}\r\n evil.example")
	with(arrives, "late", "X-A: b", "Host: {host}")
	with(arrives, "lower", "host: {host}")
	with(either, "underscore", "Host: {host}", "X_Host: evil.example")
	for _, f := range []string{"X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded", "X-Forwarded-Server", "X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Prefix", "True-Client-IP", "X_Forwarded_Host", "X-forwarded_for"} {
		with(arrives, "claims-"+f, "Host: {host}", f+": evil.example")
	}
	g.add(refused, "missing-1.0", bare("GET /{id} HTTP/1.0", "X-Case: {id}"))
	g.add(refused, "twice-1.0", bare("GET /{id} HTTP/1.0", "Host: {host}", "Host: evil.example", "X-Case: {id}"))
}
