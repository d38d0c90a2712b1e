package main

// Guards of SOCKS, and of what is asked of name servers.
var naming = []mutant{
	{[]int{20}, "proxy/socks/socks.go", "h, err := dest.ParseHost(string(b))", "h, err := dest.ParseHost(string(b[len(b)-min(len(b), 11):]))", "proxy/socks", "TestHostileNames"},
	{[]int{310}, "proxy/socks.go", "if req.Command != socks.Connect {", "if req.Command == socks.Bind {", "proxy", "TestSocksRefuses"},
	{[]int{310}, "proxy/socks/socks.go", "if head[0] != Version5 || head[2] != 0 {", "if head[0] != Version5 {", "proxy/socks", "TestHandshakes"},
	{[]int{311}, "proxy/socks.go", "if ref := s.let(&digest, source(f.raw.RemoteAddr())); ref != nil {", "if ref := s.let(&digest, source(f.raw.RemoteAddr())); ref != nil && len(shown) == 0 {", "proxy", "TestSocksDoor"},
	{[]int{311}, "proxy/socks/method.go", "case password == nil && slices.Contains(offered, methodNone):", "case slices.Contains(offered, methodNone):", "proxy", "TestSocksDoor"},
	{[]int{311}, "proxy/socks.go", "r := route{ingress: \"socks\", shown: f.route.shown, answer:", "r := route{ingress: \"socks\", answer:", "proxy", "TestSocksDoor"},
	{[]int{312}, "proxy/socks.go", "defer f.recovered()\n\tf.deadline(handshakeLimit)", "defer f.recovered()", "proxy", "TestDoorDoesNotWait"},
}
