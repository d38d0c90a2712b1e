package main

// Guards of tunnels in HTTP/2.
var h2connect = []mutant{
	{[]int{68}, "proxy/exchange.go", "if x.flow.route.ingress != \"forward\" {", "if x.flow.route.ingress != \"forward\" && x.r.ProtoMajor == 1 {", "proxy", "TestHTTP2ConnectInside"},
	{[]int{68}, "proxy/doorconn.go", "if len(r.Header[\"Content-Length\"]) > 0 {", "if false {", "proxy", "TestHTTP2DoorRefuses"},
	{[]int{370}, "proxy/stream.go", "if !g.enter() { // each", "if false { // each", "proxy", "TestHTTP2DoorIsLimited"},
	{[]int{372}, "proxy/door.go", "if !s.many {", "if true {", "proxy", "TestHTTP2DoorCuts"},
	{[]int{373}, "proxy/stream.go", "if t.hard.Load() || t.writing.Load() > 0 {", "if t.writing.Load() > 0 {", "proxy", "TestHTTP2DoorCuts"},
	{[]int{374}, "proxy/front.go", "|| f.door != nil && r.TLS != nil {", "{", "proxy", "TestHTTP2DoorRefuses"},
	{[]int{375}, "proxy/door.go", "w.Header().Set(\"Connection\", \"close\")\n", "", "proxy", "TestHTTP2DoorRefuses"},
}
