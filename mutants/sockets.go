package main

// Guards of WebSockets.
var sockets = []mutant{
	{[]int{66}, "proxy/ws/handshake.go", "case !Asked(answer):", "case false:", "proxy", "TestSwitches"},
	{[]int{66}, "proxy/ws/handshake.go", "strings.TrimSpace(answer[\"Sec-Websocket-Accept\"][0]) != Accept(key):", "strings.TrimSpace(answer[\"Sec-Websocket-Accept\"][0]) != Accept(key) && false:", "proxy", "TestSwitches"},
	{[]int{66}, "proxy/ws/handshake.go", "case len(answer[\"Sec-Websocket-Extensions\"]) > 0:", "case false:", "proxy", "TestSwitches"},
	{[]int{66}, "proxy/handshake.go", "if err := ws.CheckRequest(r.Header); err != nil {", "if err := ws.CheckRequest(r.Header); false {", "proxy", "TestHandshakes"},
	{[]int{67}, "proxy/handshake.go", "|| d.WebSocket {", "|| true {", "proxy", "TestWebSocketsAreGranted"},
	{[]int{140}, "proxy/ws/handshake.go", "delete(h, \"Sec-Websocket-Extensions\")", "_ = h", "proxy/ws", "TestAccept"},
	{[]int{140, 142}, "proxy/ws/reader.go", "case b[0]&0x70 != 0:", "case b[0]&0x30 != 0:", "proxy/ws", "TestFrames"},
	{[]int{142}, "proxy/ws/reader.go", "case op > Binary && op < Close || op > Pong:", "case op > Pong:", "proxy/ws", "TestFrames"},
	{[]int{142}, "proxy/ws/reader.go", "case masked != (r.from == Client):", "case !masked && r.from == Server && b[0] == 0:", "proxy/ws", "TestFrames"},
	{[]int{142}, "proxy/ws/reader.go", "case op.Control() && (!fin || short > maxControl):", "case op.Control() && !fin:", "proxy/ws", "TestFrames"},
	{[]int{142}, "proxy/ws/reader.go", "if n>>63 != 0 {", "if n == 0 {", "proxy/ws", "TestFrames"},
	{[]int{142}, "proxy/ws/reader.go", "if n > r.limits.Message-r.size {", "if r.size+n > r.limits.Message {", "proxy/ws", "TestFrames"},
	{[]int{142}, "proxy/ws/reader.go", "if r.frags++; r.frags > r.limits.Fragments {", "if r.frags++; false {", "proxy/ws", "TestFrames"},
	{[]int{142}, "proxy/ws/ws.go", "&& (!last || t.n == 0)", "", "proxy/ws", "TestFrames"},
	{[]int{142}, "proxy/ws/close.go", "(code < 1004 || code > 1006)", "code != 1004", "proxy/ws", "TestFrames"},
	{[]int{142}, "proxy/half.go", "} else if !h.flood.take(controlRate, time.Now()) {", "} else if false {", "proxy", "TestViolations"},
	{[]int{300}, "proxy/half.go", "} else if h.r.careful() {", "} else if false {", "proxy", "TestControlFramesCarryNothing"},
	{[]int{300}, "proxy/half.go", "p.Payload = h.r.pings.sent(h.toOrigin, p.Payload)", "_ = h.r.pings.sent(h.toOrigin, p.Payload)", "proxy", "TestControlFramesCarryNothing"},
	{[]int{301}, "proxy/judge.go", "case j.whole && len(p.Payload) > inspectLimit:", "case false:", "proxy", "TestMessagesAreJudged"},
	{[]int{301}, "proxy/judge.go", "if !p.Last && len(j.held) <= inspectLimit {", "if j.pass(p); !p.Last && len(j.held) <= inspectLimit {", "proxy", "TestMessagesAreJudged"},
	{[]int{302}, "proxy/relay.go", "r.in.search = x.grant.Search()", "_ = x.grant.Search()", "proxy", "TestSecretsInMessages"},
	{[]int{302}, "proxy/half.go", "} else if h.search != nil {", "} else if false {", "proxy", "TestSecretsInMessages"},
	{[]int{303}, "proxy/called.go", "if c.err = c.judge(flags, size); c.err != nil {\n\t\t\t\treturn i", "if c.err = c.judge(flags, size); c.err != nil {\n\t\t\t\treturn len(b)", e2e, "TestCallsAreJudged"},
	{[]int{303}, "proxy/called.go", "i, c.left = i+grpcHead, size", "i, c.left = i+grpcHead, size+1", "proxy", "TestCalledProperty"},
}
