package main

// Guards of what servers read differently.
var differing = []mutant{
	{[]int{350}, "proxy/canon/header.go", "case !utf8.ValidString(v):", "case v == \"\\x00\" && !utf8.ValidString(v):", "proxy/canon", "TestHeaders"},
	{[]int{351}, "proxy/canon/header.go", "case v != strings.Trim(v, \" \\t\"):", "case false:", "proxy/canon", "TestHeaders"},
	{[]int{352}, "proxy/canon/header.go", "if len(k) == len(name) && alike(k, name) {", "if false {", "proxy/canon", "TestDelete"},
	{[]int{352}, "proxy/equip.go", "for _, h := range x.decision.Owned {\n\t\tcanon.Delete(x.r.Header, h)", "for _, h := range x.decision.Owned {\n\t\tx.r.Header.Del(h)", "differ", "TestWhatArrivesWasJudged"},
	{[]int{353}, "proxy/canon/header.go", "\"User-Agent\", ", "", "proxy/canon", "TestHeaders"},
	{[]int{354}, "proxy/canon/header.go", "k == \"Content-Length\" && !digits(vs[0])", "k == \"Content-Length\" && vs[0] == \"\"", "proxy/canon", "TestHeaders"},
	{[]int{354}, "proxy/front.go", "len(cl) == 1 && cl[0] != strconv.FormatInt(r.ContentLength, 10) {", "len(cl) == 1 && cl[0] == strconv.Itoa(-1) {", "proxy", "TestHTTP2Contradictions"},
	{[]int{356}, "proxy/h1/head.go", "if c == '%' && !query && !escape(t[i:]) {", "if false && !escape(t[i:]) {", h1Pkg, "TestRequests"},
	{[]int{356}, "proxy/h1/head.go", "if c == '%' && !query && !escape(t[i:]) {", "if false && !escape(t[i:]) {", "differ", "TestWhatArrivesWasJudged"},
	{[]int{355}, "proxy/forward.go", "out.URL = upstreamURL(x.fscheme, x.final, x.prefix+x.facts.PathRaw, x.r.URL)", "out.URL = upstreamURL(x.fscheme, x.final, x.prefix+x.facts.Path, x.r.URL)", "differ", "TestWhatArrivesWasJudged"},
	{[]int{355}, "proxy/canon/header.go", "if slices.Contains(shielded, name) {", "if slices.Contains(shielded, name) && name != \"Cookie\" {", "differ", "TestWhatArrivesWasJudged"},
}
