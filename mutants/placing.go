package main

// Guards of how credentials are placed and looked for.
var placing = []mutant{
	{[]int{450}, "credentials/automaton.go", "case n == at+1:\n", "case false:\n", "credentials", "TestAutomatonIsSmall"},
	{[]int{450}, "credentials/automaton.go", "uint8(a.window-block-at)", "uint8(a.window-block)", "credentials", "TestAutomatonIsNaive"},
	{[]int{451}, "credentials/inplace.go", "\tclear(p[goes:])\n", "", "credentials", "TestRoomDoesNotMatter"},
	{[]int{451}, "credentials/inplace.go", "\ts.scan.at = at\n", "\ts.scan.at = 0\n", "credentials", "TestRoomDoesNotMatter"},
	{[]int{116}, "credentials/header.go", "t, err := parseTemplate(f.format)", "t, err := parseTemplate(f.format + r.Header.Get(\"X-Format\"))", "proxy", "TestPlaces"},
	{[]int{116}, "credentials/template.go", "if parts == 0 {", "if false {", "credentials", "TestBadBindings"},
	{[]int{120}, "credentials/cookie.go", "strings.EqualFold(strings.Trim(name, \" \\t\\\"\"), c.name)", "name == c.name", "credentials", "TestApply"},
	{[]int{120}, "credentials/jsonfield.go", "if called != name || l.at >= 0 {", "if false {", "credentials", "TestBodies"},
	{[]int{120}, "credentials/query.go", "range strings.SplitSeq(kv, \";\")", "range strings.SplitSeq(kv, \"&\")", "credentials", "TestBodies"},
	{[]int{452}, "credentials/store.go", "n += b.Place.placer().answered(h)", "_ = n", "credentials", "TestCookieRenewals"},
	{[]int{453}, "credentials/body.go", "\tif len(b) > MaxBody {", "\tif len(b) > 2*MaxBody {", "credentials", "TestBodies"},
	{[]int{453}, "credentials/body.go", "\t\tr.Header.Del(k)", "\t\t_ = k", "credentials", "TestBodies"},
	{[]int{113, 115}, "credentials/grant.go", "return g.store.misplaced(g.target, r)", "return nil", "credentials", "TestMisplaced"},
	{[]int{115}, "credentials/store.go", "return s.strip(t, r), s.misplaced(t, r)", "return s.strip(t, r), nil", "credentials", "TestMisplaced"},
	{[]int{114}, "credentials/guard.go", "parts = append(parts, text[len", "_ = append(parts, text[len", "credentials", "TestMisplaced"},
	{[]int{114}, "credentials/guard.go", "\tb.at = at\n", "", "credentials", "TestMisplaced"},
	{[]int{454}, "credentials/placeholder.go", "appendPart(appendPart(nil, sandbox), name)", "appendPart(nil, name)", "credentials", "TestPlaceholderShapes"},
	{[]int{454}, "credentials/client.go", "case b.ClientValue == RequirePlaceholder && has != thePlaceholder:", "case b.ClientValue == RequirePlaceholder && has == nothing:", "credentials", "TestClientValues"},
	{[]int{120}, "credentials/client.go", "case b.ClientValue == RejectValue && has != nothing:", "case false:", "credentials", "TestClientValues"},
}
