package main

// Guards of what clients of many protocols see.
var protocols = []mutant{
	{[]int{340}, "proxy/carry.go", "if sniff.ServerFirst(f.port) {", "if false {", "proxy", "TestServerFirst"},
	{[]int{341}, "cmd/sallyport/relay.go", "_ = t.SetLinger(0)\n", "", e2e, "TestRelayResets"},
}
