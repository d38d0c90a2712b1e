package main

// Guards of framing.
var framing = []mutant{
	{[]int{54}, "proxy/h1/head.go", "case f.te != nil && f.cl != nil:", "case false:", h1Pkg, "TestRequests"},
	{[]int{55}, "proxy/h1/head.go", "case f.te != nil && !strings.EqualFold(string(*f.te), \"chunked\"):", "case false:", h1Pkg, "TestRequests"},
	{[]int{56}, "proxy/h1/head.go", "case f.te != nil && minor == 0:", "case f.te != nil && minor == 7:", h1Pkg, "TestRequests"},
	{[]int{57, 80}, "proxy/h1/head.go", "if seen[i] {", "if false {", h1Pkg, "TestRequests"},
	{[]int{57}, "proxy/h1/head.go", "if !digit(c) {\n\t\t\treturn 0, false", "if c == '+' {\n\t\t\tcontinue\n\t\t}\n\t\tif !digit(c) {\n\t\t\treturn 0, false", h1Pkg, "TestRequests"},
	{[]int{58, 80}, "proxy/canon/header.go", "if vs := h[k]; len(vs) > 1 {", "if vs := h[k]; false {", "proxy/canon", "TestHeaders"},
	{[]int{59}, "proxy/h1/head.go", "case c == '\\n' && (i == 0 || b[i-1] != '\\r'):", "case false:", h1Pkg, "TestRequests"},
	{[]int{59}, "proxy/h1/head.go", "if !ok || !token(name) {", "if !ok {", h1Pkg, "TestRequests"},
	{[]int{60}, "proxy/h1/chunk.go", "for _, c := range ext {", "for _, c := range ext[:0] {", h1Pkg, "TestRequests"},
	{[]int{61}, "proxy/forward.go", "if !canon.TrailerForbidden(k) {", "if true {", "proxy", "TestTrailers"},
	{[]int{62}, "proxy/h1/conn.go", "if h.upgrade && c.state == inHead {", "if false {", h1Pkg, "TestRequests"},
	{[]int{63}, "proxy/forward.go", "out.Header.Del(\"Expect\")", "_ = out", "proxy", "TestExpect"},
	{[]int{64}, "proxy/canon/header.go", "if slices.Contains(shielded, name) {", "if false {", "proxy/canon", "TestStripRequest"},
	{[]int{65}, "proxy/canon/header.go", "&& !httpguts.HeaderValuesContainsToken(h[\"Upgrade\"], \"h2c\")", "", "proxy/canon", "TestStripRequest"},
	{[]int{65}, "proxy/sniff/sniff.go", "return H2Preface, nil", "return HTTP1, nil", "proxy/sniff", "TestKinds"},
	{[]int{69}, "proxy/h1/head.go", "if len(t) > l.Target {", "if false {", h1Pkg, "TestRequests"},
	{[]int{69}, "proxy/h1/head.go", "if n >= l.Headers {", "if false {", h1Pkg, "TestRequests"},
	{[]int{70}, "proxy/front.go", "default: // TRACE", "case \"TRACE\":\n\tdefault: // TRACE", "proxy", "TestHTTP2Contradictions"},
	{[]int{72}, "proxy/h1/head.go", "|| c == '#' ||", "||", h1Pkg, "TestRequests"},
	{[]int{73}, "proxy/h1/upstream.go", "if te && cl != nil {", "if false {", "proxy", "TestHostileOrigin"},
	{[]int{73}, "proxy/h1/upstream.go", "if te && line[7] == '0' {", "if false {", "proxy", "TestHostileOrigin"},
	{[]int{74}, "proxy/h1/upstream.go", "if u.seen++; u.seen > maxInformational {", "if false {", h1Pkg, "TestUpstream"},
	{[]int{74}, "proxy/h1/upstream.go", "if status == http.StatusSwitchingProtocols && !agreed {", "if false {", h1Pkg, "TestUpstream"},
	{[]int{32, 75}, "proxy/front.go", "case !f.name.IsZero() && a.Host() != f.name:", "case false:", e2e, "TestPipelined"},
}
