package main

// Guards of requests and answers that go on for long, over any version of HTTP.
var mixes = []mutant{
	{[]int{390}, "proxy/stages.go", "case c.messages || c.offer >= leastOffer:", "case true:", "proxy", "TestTricklingBodies"},
	{[]int{390}, "proxy/stages.go", "case c.messages || c.offer >= leastOffer:", "case c.offer >= leastOffer:", "proxy", "TestTricklingBodies"},
}
