package differ

import (
	"fmt"
	"strings"
)

// names are bytes in names of fields.
func names(g group) {
	for c := range 256 {
		ch := string([]byte{byte(c)})
		token := c > ' ' && c < 0x7f && !strings.Contains("()<>@,;:\\\"/[]?={}", ch)
		if c == '\r' || c == '\n' || c == ':' || token && c != '_' && c != '.' && c != '~' && c != '|' && c != '\'' || c > 0x80 && c < 0xff && c != 0xa0 && c != 0xad {
			continue
		}
		w := refused
		if token {
			w = either
		}
		g.add(w, fmt.Sprintf("%02x", c), get("X"+ch+"A: b"))
	}
	g.add(refused, "empty", get(": b"))
	g.add(refused, "no-colon", get("X-A"))
	g.add(refused, "only-colon", get(":"))
	g.add(refused, "pseudo", get(":path: /evil"))
	g.add(refused, "space-behind", get("X-A : b"))
	g.add(refused, "first-folded", "GET /{id} HTTP/1.1\r\n Host: {host}\r\nX-Case: {id}\r\n\r\n")
	g.add(either, "long", get(strings.Repeat("X", 300)+": b"))
	g.add(refused, "too-many", get(strings.Split(strings.Repeat("X-A: b\n", 250)+"X-A: b", "\n")...))
	g.add(either, "hundred", get(strings.Split(strings.Repeat("X-A: b\n", 90)+"X-A: b", "\n")...))
}

// values are bytes in values of fields.
func values(g group) {
	for c := range 256 {
		ch := string([]byte{byte(c)})
		switch {
		case c == '\t' || c == ' ' || c == '"' || c == ',' || c == ';' || c == '\\' || c == '%' || c == '<' || c == '{':
			g.add(arrives, fmt.Sprintf("%02x", c), get("X-A: a"+ch+"b"))
		case c == '\n' || c == '\r':
		case c < ' ' || c == 0x7f:
			g.add(refused, fmt.Sprintf("%02x", c), get("X-A: a"+ch+"b"))
		case c == 0x80 || c == 0x85 || c == 0xa0 || c == 0xad || c == 0xff:
			g.add(either, fmt.Sprintf("%02x", c), get("X-A: a"+ch+"b"))
		}
	}
	g.add(either, "utf8", get("X-A: grün"))
	g.add(either, "utf8-cut", get("X-A: a\xc3"))
	g.add(either, "overlong", get("X-A: a\xc0\x8ab"))
	g.add(either, "surrogate", get("X-A: \xed\xa0\x80"))
	g.add(either, "bom", get("X-A: \xef\xbb\xbfa"))
	g.add(either, "two-high", get("X-A: \xff", "X-A: \xfe"))
	g.add(arrives, "empty", get("X-A:"))
	g.add(arrives, "only-spaces", get("X-A:   "))
	g.add(arrives, "no-space", get("X-A:b"))
	g.add(arrives, "colon", get("X-A: :b:"))
	g.add(arrives, "twice", get("X-A: b", "x-a: c"))
	g.add(arrives, "twice-apart", get("X-A: b", "X-B: c", "X-A: d"))
	g.add(arrives, "inner-spaces", get("X-A: a   b"))
	g.add(either, "long", get("X-A: "+strings.Repeat("x", 6<<10)))
	g.add(refused, "too-long", get("X-A: "+strings.Repeat("x", 70<<10)))
	for _, f := range []string{"Authorization", "Content-Type", "Proxy-Authorization"} {
		g.add(refused, "two-"+f, post(f+": a", f+": b"))
	}
	g.add(refused, "authorization-list", get("Authorization: Bearer a, Bearer b"))
	g.add(refused, "authorization-spaces", get("Authorization: Bearer a b"))
	g.add(refused, "two-api-keys", get("X-Api-Key: a", "X-Api-Key: b"))
	g.add(either, "two-cookies", get("Cookie: a=1", "Cookie: a=2"))
	g.add(either, "two-user-agents", get("User-Agent: a", "User-Agent: b"))
	g.add(either, "two-ranges", get("Range: bytes=0-0", "Range: bytes=1-1"))
	g.add(either, "two-referers", get("Referer: a", "Referer: b"))
	g.add(either, "two-origins", get("Origin: http://a", "Origin: http://b"))
}

// foldings are fields over more than one line.
func foldings(g group) {
	for _, f := range []named{{"space", "X-A: b\r\n c"}, {"tab", "X-A: b\r\n\tc"}, {"empty", "X-A: b\r\n "}, {"empty-tab", "X-A: b\r\n\t"}, {"twice", "X-A: b\r\n c\r\n d"}, {"hides-field", "X-A: b\r\n Content-Length: 5"}, {"hides-host", "X-A: b\r\n Host: evil.example"}, {"lf", "X-A: b\n c"}, {"cr", "X-A: b\r c"}, {"name", "X-\r\n A: b"}, {"before-colon", "X-A\r\n : b"}, {"only", " "}, {"vt", "X-A: b\r\n\x0bc"}} {
		g.add(refused, f.name, get(f.text)+behind)
		g.add(refused, f.name+"-last", get("X-B: c", f.text))
	}
}

// owned are fields that policy sets, under names that servers take for the same.
func owned(g group) {
	for _, n := range []named{{"same", "X-Judged"}, {"lower", "x-judged"}, {"capitals", "X-JUDGED"}, {"underscore", "X_Judged"}, {"underscore-lower", "x_judged"}} {
		g.add(arrives, n.name, get(n.text+": forged"))
		g.add(arrives, n.name+"-twice", get(n.text+": forged", n.text+": again"))
	}
	g.add(arrives, "nominated", get("Connection: X-Judged", "X-Judged: forged"))
	g.add(refused, "space", get("X-Judged : forged"))
	g.add(either, "dot", get("X.Judged: forged"))
	g.add(arrives, "trailer", post("Transfer-Encoding: chunked", "Trailer: X-Judged")+"0\r\nX-Judged: forged\r\n\r\n")
	g.add(arrives, "trailer-underscore", post("Transfer-Encoding: chunked", "Trailer: X_Judged")+"0\r\nX_Judged: forged\r\n\r\n")
}
