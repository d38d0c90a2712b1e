package differ

import "strings"

// lengths are spellings of Content-Length, with a body of five bytes and a
// request behind it.
func lengths(g group) {
	for _, v := range []named{
		{"plus", "+5"}, {"minus", "-5"}, {"leading-zero", "05"}, {"hex", "0x5"}, {"list-same", "5,5"}, {"list-space", "5, 5"}, {"list-other", "5, 6"},
		{"two-words", "5 5"}, {"semicolon", "5;"}, {"fraction", "5.0"}, {"exponent", "5e0"}, {"vt", "5\x0b"}, {"nul", "5\x00"}, {"ff", "\x0c5"},
		{"arabic-digit", "٥"}, {"empty", ""}, {"comma", ","}, {"wraps-64", "18446744073709551621"}, {"max-64", "9223372036854775807"},
		{"wraps-32", "4294967301"}, {"minus-zero", "-0"}, {"word", "five"}, {"quoted", `"5"`}, {"underscore", "5_0"}, {"grouped", "0,005"},
	} {
		w := refused
		if v.name == "wraps-32" { // a number, of which not enough comes
			w = either
		}
		g.add(w, v.name, post("Content-Length: "+v.text)+"hello"+behind)
	}
	for _, v := range []named{{"spaces", "  5  "}, {"tab", "\t5\t"}, {"none-before", "5"}} {
		k := g.add(arrives, v.name, post("Content-Length: "+v.text)+"hello")
		k.body = "hello"
	}
	g.add(refused, "twice-same", post("Content-Length: 5", "Content-Length: 5")+"hello"+behind)
	g.add(refused, "twice-other", post("Content-Length: 5", "content-length: 0")+"hello"+behind)
	g.add(refused, "twice-zero-first", post("Content-Length: 0", "Content-Length: 5")+"hello"+behind)
	for _, n := range []named{{"space-colon", "Content-Length "}, {"tab-colon", "Content-Length\t"}, {"nul-name", "Content-Length\x00"}, {"space-before", " Content-Length"}, {"high-name", "Content-Length\xa0"}} {
		g.add(refused, n.name, post(n.text+": 5")+"hello"+behind)
	}
	g.add(either, "underscore-name", post("Content_Length: 5")+"hello"+behind)
	g.add(either, "dash-less", post("ContentLength: 5")+behind)
	g.add(refused, "lf-name", post("X-A: b\nContent-Length: 5")+"hello"+behind)
	g.add(broken, "short", post("Content-Length: 60")+"hello")
	g.add(either, "long", post("Content-Length: 3")+"hello"+behind)
	g.add(arrives, "zero", post("Content-Length: 0"))
	for _, m := range []string{"GET", "HEAD", "DELETE", "OPTIONS", "PATCH", "PUT"} {
		k := g.add(arrives, "on-"+m, msg(m+" /{id} HTTP/1.1", "Content-Length: 5")+"hello")
		k.body = "hello"
		if m == "GET" || m == "HEAD" || m == "OPTIONS" || m == "DELETE" { // some servers take none here
			k.want = either
		}
	}
	k := g.add(either, "get-of-a-request", get("Content-Length: "+itoa(len(behind)))+behind)
	k.body = behind
	g.add(either, "1.0-without", strings.Replace(post(), "HTTP/1.1", "HTTP/1.0", 1)+"hello"+behind)
	g.add(either, "1.1-without", post()+behind)
	g.add(either, "late", post("X-A: b", "X-B: c", "Content-Length: 5")+"hello")
}

// codings are spellings of Transfer-Encoding, alone and beside Content-Length.
func codings(g group) {
	chunked := "5\r\nhello\r\n0\r\n\r\n"
	for _, v := range []named{
		{"exact", "chunked"}, {"title", "Chunked"}, {"capitals", "CHUNKED"}, {"spaces", "  chunked  "}, {"tabs", "\tchunked\t"},
		{"twice", "chunked, chunked"}, {"identity", "identity"}, {"identity-first", "identity, chunked"}, {"identity-last", "chunked, identity"},
		{"gzip", "gzip, chunked"}, {"deflate", "deflate"}, {"parameter", "chunked;q=1"}, {"quoted", `"chunked"`}, {"single-quoted", "'chunked'"}, {"vt", "\x0bchunked"}, {"vt-behind", "chunked\x0b"},
		{"ff", "\x0cchunked"}, {"prefix", "xchunked"}, {"suffix", "chunkedx"}, {"nul", "chunked\x00"}, {"backslash", `chun\ked`}, {"cut", "chunk"},
		{"other", "cow"}, {"empty", ""}, {"comma-first", ",chunked"}, {"comma-last", "chunked,"}, {"nel", "\x85chunked"}, {"nbsp", "\xa0chunked"}, {"bracket", "[chunked]"}, {"colon", ":chunked"},
	} {
		plain := v.name == "exact" || v.name == "title" || v.name == "capitals" || v.name == "spaces" || v.name == "tabs"
		k := g.add(refused, v.name, post("Transfer-Encoding: "+v.text)+chunked)
		if plain {
			k.want, k.body = arrives, "hello"
		}
		g.add(refused, v.name+"+cl", post("Transfer-Encoding: "+v.text, "Content-Length: "+itoa(len(chunked)))+chunked+behind)
		g.add(refused, "cl+"+v.name, post("Content-Length: 4", "Transfer-Encoding: "+v.text)+"0\r\n\r\n"+behind)
	}
	for _, n := range []named{
		{"space-colon", "Transfer-Encoding : chunked"}, {"tab-colon", "Transfer-Encoding\t: chunked"}, {"space-before", " Transfer-Encoding: chunked"},
		{"nul-name", "Transfer-Encoding\x00: chunked"}, {"nul-inside", "Transfer\x00-Encoding: chunked"}, {"vt-name", "\x0bTransfer-Encoding: chunked"}, {"high-name", "Transfer-Encoding\xff: chunked"},
		{"folded", "Transfer-Encoding:\r\n chunked"}, {"folded-tab", "Transfer-Encoding:\r\n\tchunked"}, {"lf", "X-A: b\nTransfer-Encoding: chunked"}, {"cr", "X-A: b\rTransfer-Encoding: chunked"},
		{"no-colon", "Transfer-Encoding chunked"}, {"semicolon", "Transfer-Encoding; chunked"}, {"two", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"}, {"two-cow", "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked"},
		{"two-cases", "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked"},
	} {
		g.add(refused, "name-"+n.name, post(n.text, "Content-Length: 4")+"0\r\n\r\n"+behind)
	}
	g.add(either, "name-underscore", post("Transfer_Encoding: chunked", "Content-Length: 5")+"hello"+behind)
	g.add(refused, "in-1.0", strings.Replace(post("Transfer-Encoding: chunked"), "HTTP/1.1", "HTTP/1.0", 1)+chunked)
	g.add(refused, "in-1.0+cl", strings.Replace(post("Transfer-Encoding: chunked", "Content-Length: 5"), "HTTP/1.1", "HTTP/1.0", 1)+chunked)
	g.add(either, "on-get", get("Transfer-Encoding: chunked")+chunked)
	g.add(either, "on-head", msg("HEAD /{id} HTTP/1.1", "Transfer-Encoding: chunked")+chunked)
}
