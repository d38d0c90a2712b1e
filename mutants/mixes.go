package main

// Guards of requests and answers that go on for long, over any version of HTTP.
var mixes = []mutant{
	{[]int{68}, "proxy/doorconn.go", "err != nil || a != to {", "err != nil || a.Port() == 0 {", "proxy", "TestConnectFields"},
	{[]int{136}, "proxy/stream.go", "stuck := time.AfterFunc(t.x.gate.idle(), t.abort)", "stuck := time.AfterFunc(time.Hour, t.abort)", "proxy", "TestStuckInAStream"},
	{[]int{391}, "proxy/h2/faults.go", "if f.Code = faultCodes[binary.BigEndian.Uint32(c.head[at:])]; f.Code != \"\" {", "if f.Code = faultCodes[binary.BigEndian.Uint32(c.head[at:])]; f.Code == \"x\" {", "proxy", "TestFaultsAreRecorded"},
	{[]int{391}, "proxy/h2/faults.go", "if c.head[3] == typeGoAway {", "if false {", "proxy", "TestFaultsAreRecorded"},
	{[]int{390}, "proxy/stages.go", "case c.messages || c.offer >= leastOffer:", "case true:", "proxy", "TestTricklingBodies"},
	{[]int{390}, "proxy/stages.go", "case c.messages || c.offer >= leastOffer:", "case c.offer >= leastOffer:", "proxy", "TestTricklingBodies"},
}
