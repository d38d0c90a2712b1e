package differ

import (
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// chunks are chunked bodies that are read in more than one way, or in none.
func chunks(g group) {
	send := func(w want, name, body string) *kase {
		k := g.add(w, name, post("Transfer-Encoding: chunked")+body+behind)
		if w == arrives {
			k.raw, k.body = strings.TrimSuffix(k.raw, behind), "hello"
		}
		return k
	}
	const rest = "\r\nhello\r\n0\r\n\r\n"
	for _, v := range []named{
		{"hex-prefix", "0x5"}, {"plus", "+5"}, {"minus", "-5"}, {"space-before", " 5"}, {"tab-before", "\t5"}, {"space-behind", "5 "}, {"tab-behind", "5\t"}, {"vt-behind", "5\x0b"},
		{"h-suffix", "5h"}, {"empty", ""}, {"word", "five"}, {"g", "G"}, {"comma", "5,"}, {"dot", "5."}, {"underscore", "5_"}, {"nul", "5\x00"}, {"arabic-digit", "٥"},
		{"wraps-64", "10000000000000005"}, {"all-ones", "FFFFFFFFFFFFFFFF"}, {"sign-bit", "8000000000000005"}, {"zeros", "0000000000000000000005"}, {"space-ext", "5 ;a=b"},
		{"ext-nul", "5;\x00"}, {"ext-bell", "5;\x07"}, {"ext-del", "5;\x7f"}, {"ext-long", "5;" + strings.Repeat("a", 300)}, {"ext-high", "5;a=\xff"}, {"ext-cr", "5;a\rb"}, {"ext-lf", "5;a\nb"},
		{"ext-quoted-crlf", "5;a=\"\r\n\""}, {"hash", "5#"},
	} {
		send(broken, "size-"+v.name, v.text+rest)
	}
	send(broken, "size-wraps-32", "100000005"+rest)
	for _, v := range []named{{"plain", "5"}, {"zero-first", "05"}, {"fifteen-digits", "000000000000005"}, {"ext-empty", "5;"}, {"ext", "5;a"}, {"ext-value", "5;a=b"}, {"ext-quoted", `5;a="b c"`}, {"ext-space", "5; a=b"}, {"ext-two", "5;a;b=c"}} {
		send(arrives, "size-"+v.name, v.text+rest)
	}
	for _, v := range []named{{"lf", "5\nhello\r\n0\r\n\r\n"}, {"cr", "5\rhello\r\n0\r\n\r\n"}, {"crcrlf", "5\r\r\nhello\r\n0\r\n\r\n"}, {"data-lf", "5\r\nhello\n0\r\n\r\n"}, {"data-cr", "5\r\nhello\r0\r\n\r\n"},
		{"data-none", "5\r\nhello0\r\n\r\n"}, {"data-long", "5\r\nhelloXX\r\n0\r\n\r\n"}, {"data-two", "5\r\nhello\r\n\r\n0\r\n\r\n"}, {"data-crx", "5\r\nhello\rX0\r\n\r\n"}, {"last-lf", "5\r\nhello\r\n0\n\n"},
		{"last-lf-crlf", "5\r\nhello\r\n0\n\r\n"}, {"last-crlf-lf", "5\r\nhello\r\n0\r\n\n"}, {"last-minus", "5\r\nhello\r\n-0\r\n\r\n"}, {"last-space", "5\r\nhello\r\n0 \r\n\r\n"}, {"none", "hello\r\n\r\n"}} {
		send(broken, "end-"+v.name, v.text)
	}
	for _, v := range []named{{"last-zeros", "5\r\nhello\r\n000\r\n\r\n"}, {"last-ext", "5\r\nhello\r\n0;a=b\r\n\r\n"}, {"pieces", "1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n"}} {
		send(arrives, "end-"+v.name, v.text)
	}
	k := send(arrives, "end-empty", "0\r\n\r\n")
	k.body = ""
	g.add(broken, "end-open", post("Transfer-Encoding: chunked")+"5\r\nhello\r\n0\r\n")
	g.add(broken, "end-cut", post("Transfer-Encoding: chunked")+"5\r\nhel")
}

// trailers are fields behind a chunked body.
func trailers(g group) {
	send := func(w want, name, trailer string, fields ...string) {
		k := g.add(w, name, post(append(fields, "Transfer-Encoding: chunked")...)+"5\r\nhello\r\n0\r\n"+trailer+"\r\n")
		k.body = "hello"
	}
	send(arrives, "plain", "X-Sum: 1\r\n")
	send(arrives, "announced", "X-Sum: 1\r\n", "Trailer: X-Sum")
	for _, f := range []string{"Content-Length: 1", "Transfer-Encoding: chunked", "Host: evil.example", "Authorization: Bearer x", "X-Judged: forged", "Cookie: a=b", "X-Forwarded-For: 1.1.1.1", "Content-Type: text/html", "Connection: close", "Expect: 100-continue", "Te: trailers", "X-Case: other"} {
		name, _, _ := strings.Cut(f, ":")
		send(either, name, f+"\r\n", "Trailer: "+name)
	}
	for _, f := range []named{{"folded", "X-Sum: 1\r\n 2\r\n"}, {"space-first", " X-Sum: 1\r\n"}, {"no-colon", "X-Sum\r\n"}, {"space-colon", "X-Sum : 1\r\n"}, {"nul", "X-Sum: \x00\r\n"}, {"lf", "X-Sum: 1\n"}, {"cr", "X-Sum: 1\rX: 2\r\n"}, {"empty-name", ": 1\r\n"}, {"request", "GET / HTTP/1.1\r\nHost: evil\r\n"}} {
		send(broken, f.name, f.text)
	}
	g.add(either, "smuggled", post("Transfer-Encoding: chunked")+"0\r\nX-A: b\r\n\r\n"+behind)
	g.add(broken, "lf-smuggled", post("Transfer-Encoding: chunked")+"0\r\nX-A: b\n\n"+behind+"\r\n")
}
