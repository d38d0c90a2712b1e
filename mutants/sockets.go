package main

// Guards of WebSockets.
var sockets = []mutant{
	{[]int{66}, "proxy/ws/handshake.go", "case !Asked(answer):", "case false:", "proxy", "TestSwitches"},
	{[]int{66}, "proxy/ws/handshake.go", "strings.TrimSpace(answer[\"Sec-Websocket-Accept\"][0]) != Accept(key):", "strings.TrimSpace(answer[\"Sec-Websocket-Accept\"][0]) != Accept(key) && false:", "proxy", "TestSwitches"},
	{[]int{66}, "proxy/ws/handshake.go", "case len(answer[\"Sec-Websocket-Extensions\"]) > 0:", "case false:", "proxy", "TestSwitches"},
	{[]int{66}, "proxy/handshake.go", "if err := ws.CheckRequest(r.Header); err != nil {", "if err := ws.CheckRequest(r.Header); false {", "proxy", "TestHandshakes"},
	{[]int{67}, "proxy/handshake.go", "|| d.WebSocket {", "|| true {", "proxy", "TestWebSocketsAreGranted"},
}
