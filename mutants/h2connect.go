package main

// Guards of tunnels in HTTP/2.
var h2connect = []mutant{
	{[]int{68}, "proxy/exchange.go", "if x.flow.route.ingress != \"forward\" {", "if x.flow.route.ingress != \"forward\" && x.r.ProtoMajor == 1 {", "proxy", "TestHTTP2ConnectInside"},
}
