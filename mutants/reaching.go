package main

const resolvePkg = "proxy/resolve"

// Guards of the way to upstreams.
var reaching = []mutant{
	{[]int{320}, resolvePkg + "/resolve.go", "case !m.Response || m.Id != q.Id ||", "case !m.Response ||", resolvePkg, "TestHostileAnswers"},
	{[]int{320}, resolvePkg + "/resolve.go", "dns.CanonicalName(m.Question[0].Name) != dns.CanonicalName(q.Question[0].Name):", "false:", resolvePkg, "TestHostileAnswers"},
	{[]int{320}, resolvePkg + "/resolve.go", "|| dns.CanonicalName(h.Name) != at {", "{", resolvePkg, "TestHostileAnswers"},
	{[]int{320}, resolvePkg + "/resolve.go", "if seen[at] = true; seen[alias] || len(seen) > maxChain {", "if seen[at] = true; seen[alias] {", resolvePkg, "TestHostileAnswers"},
	{[]int{320}, resolvePkg + "/server.go", "ServerName: s.named(), RootCAs: roots,", "ServerName: s.named(), RootCAs: roots, InsecureSkipVerify: true,", resolvePkg, "TestTransports"},
}
