package main

// Guards of what is made of logs: policies, and what others would have decided.
var learning = []mutant{
	{[]int{420}, "policy/learn/write.go", "if err := e.Encode(s); err != nil {\n\t\treturn `\"\"`\n\t}\n\treturn strings.TrimSuffix(b.String(), \"\\n\")", "_ = e\n\treturn `\"` + s + `\"`", "policy/learn", "TestLearnFromHostileLog"},
	{[]int{420}, "policy/replay/asked.go", "return h, err == nil && h.String() == s", "return h, err == nil || s != \"\"", "policy/learn", "TestLearnFromHostileLog"},
	{[]int{421}, "policy/learn/learn.go", "if len(l.http)+len(l.opaque) >= l.o.MaxHosts {\n\t\t\treturn manyHosts", "if false {\n\t\t\treturn manyHosts", "policy/learn", "TestLearntIsBounded"},
	{[]int{421}, "policy/learn/shape.go", "if len(s.shapes) < s.most || s.depth == 0 {", "if true {", "policy/learn", "TestLearntIsBounded"},
	{[]int{421}, "policy/replay/result.go", "if len(r.by) >= maxGroups {", "if false {", "policy/replay", "TestReplayOfHostileLog"},
	{[]int{422}, "policy/rego/kept.go", "if !k.whole.covers(path) {", "if false {", "policy/rego", "TestAgainIsSound"},
	{[]int{422}, "policy/rego/kept.go", "\t\t\tif beside(l.path, path) {\n\t\t\t\treturn l.why", "\t\t\tif false {\n\t\t\t\treturn l.why", "policy/rego", "TestAgainIsSound"},
	{[]int{422}, "policy/rego/kept.go", "if !none && was != reads(part) {", "if false {", "policy/rego", "TestAgainOfBodies"},
	{[]int{423}, "audit/read.go", "case r.seq > 0 && prev != r.prev:", "case r.seq > 0 && prev == \"\":", "policy/replay", "TestReplayOfHostileLog"},
	{[]int{424}, "policy/shadow.go", "if len(b.to.in) == cap(b.to.in) {\n\t\tb.to.dropped(b.name, b.candidate)\n\t\treturn d", "if len(b.to.in) == cap(b.to.in) {\n\t\tb.to.in <- shadowed{b, q, d, false, false}\n\t\treturn d", "policy", "TestShadowsAreBounded"},
	{[]int{424}, "policy/shadow.go", "c.Header = r.Header.Clone()\n\t\t}\n\t\tif", "c.Header = r.Header\n\t\t}\n\t\tif", "policy", "TestShadowsAreBounded"},
}
