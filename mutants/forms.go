package main

// Guards of the forms that HTTP takes.
var forms = []mutant{
	{[]int{92}, "proxy/canon/grpc.go", "case !ok || rawPath[0] != '/' || !plainName(service) || !plainName(method):", "case !ok:", e2e, "TestGRPCPaths"},
	{[]int{26}, "proxy/exchange.go", "if ref == nil && x.ward.stopped() == nil {", "if false {", e2e, "TestPortsOfOthers"},
	{[]int{26}, "proxy/socks.go", "return w.shut(f.gate.ctx, f.question(w, \"tcp\", f.name).Destination)", "return nil", e2e, "TestPortsOfOthers"},
	{[]int{26, 62}, "proxy/exchange.go", "x.refuse(ref.closing())", "x.refuse(ref)", "proxy", "TestRefusedConnectEnds"},
	{[]int{26}, "proxy/barred.go", "case otherPorts[x.target.Port()]:", "case false:", e2e, "TestPortsOfOthers"},
	{[]int{90}, "proxy/carry.go", "g.srv.in.push(f.strict(conn))", "f.mismatch = refuse(403, \"internal\", \"not decided\")\n\t\tg.srv.in.push(f.strict(conn))", e2e, "TestEveryFormIsDecidedAlike"},
	{[]int{96}, "proxy/barred.go", "case asksNames(x.r.Header, x.facts):", "case false:", e2e, "TestDNSOverHTTPSIsRefused"},
	{[]int{96}, "proxy/forward.go", "if !x.within() && dnsType(", "if false && dnsType(", e2e, "TestDNSOverHTTPSIsRefused"},
	{[]int{65}, "proxy/respond.go", "case x.r.ProtoMajor == 2 && x.flow.clear:", "case false:", e2e, "TestH2CIsDecided"},
	{[]int{92}, "proxy/canon/grpc.go", "case query:", "case false:", e2e, "TestGRPCPaths"},
	{[]int{290}, "proxy/midway.go", "out.Set(f[0], f[1])", "_ = f", e2e, "TestGRPCIsEndedByAChange"},
	{[]int{291}, "credentials/messages.go", "even: true, same: true}", "even: true}", "credentials", "TestScrubMessages"},
	{[]int{291}, "credentials/messages.go", "dst = m.scan.feed(dst, b)", "dst = append(dst, b...)", "credentials", "TestScrubMessages"},
	{[]int{292}, "credentials/messages.go", "\tdst = m.scan.flush(dst)\n", "", "credentials", "TestMessagesAreNotHeld"},
	{[]int{292, 170}, "credentials/messages.go", "even: true, same", "same", "credentials", "TestMessagesAreNotHeld"},
}
