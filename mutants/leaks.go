package main

// Guards against ways around what is judged, searched and bounded.
var leaks = []mutant{
	{[]int{92}, "proxy/canon/header.go", "&& GRPCOf(h.Get(\"Content-Type\")) == GRPCPlain", "", "proxy", "TestCallsUnderAnotherName"},
	{[]int{360}, "proxy/called.go", "case trailer && !behind && !c.toOrigin && c.kind == canon.GRPCWeb && size <= maxWebTrailer:", "case trailer:", "proxy", "TestTrailersAreNoMessages"},
	{[]int{360}, "proxy/called.go", "case flags > 1 || behind:", "case flags > 1:", "proxy", "TestTrailersAreNoMessages"},
	{[]int{361}, "credentials/scrub.go", "} else if c := hiddenCoding(h); c != \"\" {", "} else if c := hiddenCoding(h); c == \"none\" {", "credentials", "TestScrubCodedMessages"},
	{[]int{361}, "credentials/grant.go", "if len(h[k.accepts]) > 0 || g.grpc", "if g.grpc", "credentials", "TestScrubCodedMessages"},
	{[]int{362}, "proxy/flow.go", "above, ok := c.(interface{ NetConn() net.Conn })\n\t\tif !ok {", "above, ok := c.(interface{ NetConn() net.Conn })\n\t\tif true || !ok {", "proxy", "TestCutsBehindTLS"},
	{[]int{363}, "proxy/relay.go", "func() { r.cut(nil) })() // the server", "func() { _ = r })() // the server", "proxy", "TestSocketsEndWithTheirGate"},
	{[]int{364}, "proxy/forward.go", "if !switching { // what follows", "if true { // what follows", "proxy", "TestSwitchesDoNotHideMessages"},
	{[]int{365}, "proxy/judge.go", "if mine*(inspectShare-1) > most-all {", "if mine > most/inspectShare || all > most {", "proxy", "TestInspectionIsNotStarved"},
	{[]int{366}, "proxy/equip.go", "g.Within(room{x})", "_ = room{x}", "proxy", "TestCodedMessagesAreBounded"},
	{[]int{366}, "credentials/messages.go", "m.room.Release(gone)", "_ = gone", "proxy", "TestCodedMessagesAreBounded"},
	{[]int{367}, "proxy/door.go", "if !s.known.Swap(true) && !s.still() {", "if !s.known.Swap(true) && false {", "proxy", "TestDoorAsksWhoeverWaits"},
	{[]int{368}, "proxy/called.go", "if c.free && c.x.gate.judged() {", "if false {", "proxy", "TestCallsThatBeganUnjudged"},
	{[]int{368}, "proxy/called.go", "if v.x.gate.judged() {", "if false {", "proxy", "TestCallsThatBeganUnjudged"},
	{[]int{368}, "proxy/judge.go", "if j.free && j.x.gate.judged() {", "if false {", "proxy", "TestSocketsThatBeganUnjudged"},
	{[]int{369}, "proxy/exchange.go", "x.gate.bounds(x.limited(d.Limits))", "x.gate.bounds(d.Limits)", "proxy", "TestLimitsOfAnswersStay"},
}
