package main

// Guards of tunnels and streams, and against floods.
var floods = []mutant{
	{[]int{330}, "proxy/span.go", "s.expire(\"idle\", b.idle)\n\t\t\treturn", "_ = s.expire", "proxy", "TestTunnelIsBounded"},
	{[]int{330}, "proxy/span.go", "s.expire(\"life\", b.life)\n\t\t\treturn", "_ = s.expire", "proxy", "TestTunnelIsBounded"},
	{[]int{330}, "proxy/span.go", "return min(n, left)", "return n", "proxy", "TestTunnelIsBounded"},
	{[]int{330}, "proxy/tunnel.go", "sp.bound(g.bounds(lim))", "_ = lim", "proxy", "TestChangeBoundsATunnel"},
	{[]int{331}, "proxy/splice.go", "if n == 0 { // urgent", "if n = max(n, 1); n == 0 { // urgent", "proxy", "TestTunnelUrgent"},
	{[]int{40}, "proxy/sniff/sniff.go", "_ = c.SetReadDeadline(time.Now().Add(timeout))", "_ = timeout", e2e, "TestSilentConnections"},
	{[]int{332}, "proxy/windows.go", "MaxReceiveBufferPerConnection: maxStreams * streamWindow", "MaxReceiveBufferPerConnection: 4 * streamWindow", "proxy", "TestStalledUploads"},
	{[]int{332}, "proxy/windows.go", "upstreamWindow = 4096 * streamWindow", "upstreamWindow = 4 * streamWindow", "cmd/sallyport", "TestSlowReaders"},
	{[]int{333}, "proxy/windows.go", "streamWindow = 256 << 10", "streamWindow = 1 << 20", "cmd/sallyport", "TestSlowReaders"},
	{[]int{141}, "proxy/body.go", "!isNumber || policy.Bounded(n.String())", "!isNumber || n != \"\"", e2e, "TestCalculationsAreBounded"},
	{[]int{141}, "proxy/body.go", "depth > maxDepth", "depth > 1<<20", e2e, "TestCalculationsAreBounded"},
	{[]int{141}, "policy/rego/numbers.go", "if !bounded(t) {", "if !bounded(t) && false {", e2e, "TestCalculationsAreBounded"},
	{[]int{141}, "policy/number.go", "-maxExponent <= e", "true", "policy/rego", "TestNumbersOfTexts"},
	{[]int{141}, "policy/number.go", "if len(number) > maxDigits {", "if false {", "policy/rego", "TestNumbersOfTexts"},
	{[]int{141}, "policy/rego/source.go", "\"bits.lsh\", \"product\",", "\"bits.lsh\",", "policy/rego", "TestNumbersOfTexts"},
	{[]int{39}, "proxy/h1/conn.go", "&& !token(b[:1]) {", "&& b[0] == 0 {", h1Pkg, "TestFirstByte"},
	{[]int{334}, "proxy/forward.go", "resp.Body = &responseBody{Reader: body,", "all, _ := io.ReadAll(body)\n\tresp.Body = &responseBody{Reader: strings.NewReader(string(all)),", "cmd/sallyport", "TestLargeBodies"},
	{[]int{334}, "proxy/forward.go", "out.Body = x.body\n", "all, _ := io.ReadAll(x.body)\n\t\tout.Body = io.NopCloser(strings.NewReader(string(all)))\n", "cmd/sallyport", "TestLargeBodies"},
	{[]int{136}, "proxy/stages.go", "c.enter(handing)", "c.enter(resting)", "proxy", "TestAnswersNotTaken"},
	{[]int{136}, "proxy/patient.go", "_ = x.rc.SetWriteDeadline(time.Now().Add(x.gate.idle()))", "_ = x.gate", "proxy", "TestAnswersNotTaken"},
	{[]int{144}, "proxy/exchange.go", "context.WithCancelCause(x.r.Context())", "context.WithCancelCause(context.WithoutCancel(x.r.Context()))", e2e, "TestStormsOfClients"},
	{[]int{370}, "proxy/stages.go", "c.enter(offering)", "c.enter(resting)", "proxy", "TestStalledBodies"},
	{[]int{370}, "proxy/body.go", "_ = x.rc.SetReadDeadline(time.Now().Add(x.srv.cfg.Patience.Inspect))", "", "proxy", "TestStalledBodies"},
	{[]int{370}, "proxy/patient.go", "_ = x.rc.SetReadDeadline(time.Now().Add(leave))", "_ = leave", "proxy", "TestStalledBodies"},
}
