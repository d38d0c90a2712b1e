package main

// Guards of policy.
var deciding = []mutant{
	{[]int{76}, "proxy/canon/path.go", "if p, _, _ := strings.Cut(part, \";\"); p == \".\" || p == \"..\" {", "if part == \".\" || part == \"..\" {", "proxy/canon", "TestPath"},
	{[]int{76}, "proxy/canon/path.go", "if path[i] == '%' && isHex(path[i+1]) && isHex(path[i+2]) {", "if path[i] == 0x7f {", "proxy/canon", "TestPath"},
	{[]int{77}, "proxy/canon/path.go", "for k, vs := range q {\n\t\tif !plain(k) {", "for _, vs := range q {\n\t\tif false {", "proxy/canon", "TestQuery"},
	{[]int{166}, "policy/rego/source.go", "if ps := survey(o.Dir); len(ps) > 0 {", "if ps := survey(o.Dir); len(ps) > 99 {", "policy/rego", "TestNothingIsPassedOver"},
	{[]int{166}, "policy/rego/compile.go", "verb && !used[r] {", "verb && !used[r] && false {", "policy/rego", "TestNothingIsPassedOver"},
	{[]int{88}, "proxy/ward.go", "\tfor _, l := range all {", "\tfor _, l := range all[:0] {", "proxy", "TestChangesReachStreams"},
	{[]int{88}, "proxy/exchange.go", "_ = x.rc.SetWriteDeadline(time.Now().Add(cutGrace))", "", "proxy", "TestChangeReachesAStalledClient"},
	{[]int{238}, "proxy/charter.go", "w.keys = c.Keys()", "_ = c", e2e, "TestReloadUnderLoad"},
	{[]int{78, 79}, "proxy/canon/header.go", "if identity[name] ||", "if false ||", "proxy/canon", "TestStripRequest"},
}
