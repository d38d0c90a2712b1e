package main

// Guards of policy.
var deciding = []mutant{
	{[]int{76}, "proxy/canon/path.go", "if p, _, _ := strings.Cut(part, \";\"); p == \".\" || p == \"..\" {", "if part == \".\" || part == \"..\" {", "proxy/canon", "TestPath"},
	{[]int{76}, "proxy/canon/path.go", "if path[i] == '%' && isHex(path[i+1]) && isHex(path[i+2]) {", "if path[i] == 0x7f {", "proxy/canon", "TestPath"},
	{[]int{77}, "proxy/canon/path.go", "for k, vs := range q {\n\t\tif !plain(k) {", "for _, vs := range q {\n\t\tif false {", "proxy/canon", "TestQuery"},
	{[]int{166}, "policy/rego/source.go", "if ps := survey(o.Dir); len(ps) > 0 {", "if ps := survey(o.Dir); len(ps) > 99 {", "policy/rego", "TestNothingIsPassedOver"},
	{[]int{166}, "policy/rego/compile.go", "verb && !used[r] {", "verb && !used[r] && false {", "policy/rego", "TestNothingIsPassedOver"},
	{[]int{81}, "policy/rego/input.go", "if state == policy.BodyTruncated || state == policy.BodyUnparsed {", "if state == policy.BodyUnparsed {", "policy/rego", "TestDecide"},
	{[]int{84}, "policy/rego/compile.go", "if rules == 0 && len(errs) == 0 {", "if rules < 0 {", "policy/rego", "TestRefused"},
	{[]int{86}, "policy/rego/source.go", "return b.Nondeterministic", "return false", "policy/rego", "TestRefused"},
	{[]int{89}, "policy/rego/cachekey.go", "return request(func(dst []byte, r *policy.RequestFacts) []byte { return addList(dst, r.Query[below[0]]) })", "return []keyPart{}", "policy/rego", "TestCacheIsSoundForAnyPolicy"},
	{[]int{91}, "policy/policy.go", "return d != nil && d.Err == nil && d.Allow && len(d.Deny) == 0", "return d != nil && d.Err == nil && d.Allow", "policy/rego", "TestDecide"},
	{[]int{91}, "policy/layers.go", "out.Deny = append(out.Deny, d.Deny...)", "", "policy", "TestLayers"},
	{[]int{88}, "proxy/ward.go", "\tfor _, l := range all {", "\tfor _, l := range all[:0] {", "proxy", "TestChangesReachStreams"},
	{[]int{88}, "proxy/exchange.go", "_ = x.rc.SetWriteDeadline(time.Now().Add(cutGrace))", "", "proxy", "TestChangeReachesAStalledClient"},
	{[]int{87, 238}, "proxy/charter.go", "w.keys = c.Keys()", "_ = c", e2e, "TestReloadUnderLoad"},
	{[]int{78, 79}, "proxy/canon/header.go", "if identity[name] ||", "if false ||", "proxy/canon", "TestStripRequest"},
}
