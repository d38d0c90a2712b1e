package main

const resolvePkg = "proxy/resolve"

// Guards of the way to upstreams.
var reaching = []mutant{
	{[]int{320}, resolvePkg + "/resolve.go", "case !m.Response || m.Id != q.Id ||", "case !m.Response ||", resolvePkg, "TestHostileAnswers"},
	{[]int{320}, resolvePkg + "/resolve.go", "dns.CanonicalName(m.Question[0].Name) != dns.CanonicalName(q.Question[0].Name):", "false:", resolvePkg, "TestHostileAnswers"},
	{[]int{320}, resolvePkg + "/resolve.go", "|| dns.CanonicalName(h.Name) != at {", "{", resolvePkg, "TestHostileAnswers"},
	{[]int{320}, resolvePkg + "/resolve.go", "if seen[at] = true; seen[alias] || len(seen) > maxChain {", "if seen[at] = true; seen[alias] {", resolvePkg, "TestHostileAnswers"},
	{[]int{320}, resolvePkg + "/server.go", "ServerName: s.named(), RootCAs: roots,", "ServerName: s.named(), RootCAs: roots, InsecureSkipVerify: true,", resolvePkg, "TestTransports"},
	{[]int{48}, "proxy/pools.go", "m.as = p.reach.of(x.final)", "m.as = nil", "proxy", "TestClientCertificates"},
	{[]int{48}, "proxy/pools.go", "if m.tls = settings.Key(); settings == nil {", "if m.tls = settings.Key(); true {", "proxy", "TestClientCertificates"},
	{[]int{48}, "proxy/charter.go", "if was != nil && was.policy == pol && sb.SameWays(was.sb) {", "if was != nil && sb.SameWays(was.sb) {", "proxy", "TestClientCertificates"},
	{[]int{104}, "proxy/dial.go", "if p.unjudged(to) {\n\t\terr", "if p != nil {\n\t\terr", "proxy", "TestParentsAreNoWayAround"},
	{[]int{104}, "proxy/dial.go", "if ref := d.gate.srv.meansNothing(to.Host(), d.binding); ref != nil {", "if false {\n\t\tvar ref *Refusal", "proxy", "TestParentsAreNoWayAround"},
	{[]int{104}, "proxy/dial.go", "if d.gate.ward.Load().policy.Has(policy.Dial) {\n\t\treturn unknown", "if false {\n\t\treturn unknown", "proxy", "TestParentsAreNoWayAround"},
	{[]int{104}, "proxy/equip.go", "if x.blind() {", "if false {", "proxy", "TestParentsAreNoWayAround"},
	{[]int{321}, "proxy/through.go", "if ref := s.homes.refuses(netip.AddrPortFrom(a, p.Addr.Port())); ref != nil {", "if ref := s.homes.refuses(netip.AddrPortFrom(a, p.Addr.Port())); ref != nil && false {", "proxy", "TestParentLoops"},
	{[]int{321}, "proxy/through.go", "context.WithTimeout(ctx, d.limits(to).Parent)", "context.WithTimeout(ctx, 100*d.limits(to).Parent)", "proxy", "TestParentsThatFail"},
	{[]int{322}, "proxy/connect.go", "next := time.NewTimer(stagger)", "next := time.NewTimer(100 * stagger)", "proxy", "TestHappyEyeballs"},
	{[]int{323}, "cmd/sidecar/decided.go", "policy.NewLayers(engines...), p.store, p.reach}", "policy.NewLayers(engines...), p.store, nil}", e2e, "TestReachingUpstreams"},
	{[]int{324}, "cmd/sallyport/reaching.go", "o.secretVars = append(o.secretVars, variable)", "_ = variable", e2e, "TestReachingByFlags"},
	{[]int{46}, "proxy/proof.go", "if b.left <= 0 {", "if false {", "proxy", "TestCertificateBombs"},
	{[]int{137}, "proxy/stages.go", "c.timer.Reset(c.limits.Response)", "c.timer.Reset(100 * c.limits.Response)", "proxy", "TestStages"},
	{[]int{137}, "proxy/stages.go", "c.timer.Reset(c.limits.Request)", "c.timer.Reset(100 * c.limits.Request)", "proxy", "TestStages"},
	{[]int{137}, "proxy/stages.go", "case c.trailing() && past >= c.limits.Trailer:", "case false:", "proxy", "TestStages"},
	{[]int{137}, "proxy/dial.go", "context.WithTimeout(ctx, d.limits(to).Connect)", "context.WithTimeout(ctx, 100*d.limits(to).Connect)", "proxy", "TestStagesOfDialling"},
	{[]int{137}, "proxy/dial.go", "r.Timeouts.or(DefaultTimeouts).Resolve)", "100*r.Timeouts.or(DefaultTimeouts).Resolve)", "proxy", "TestStagesOfDialling"},
	{[]int{137}, "proxy/proof.go", "context.WithTimeout(ctx, limit.TLS)", "context.WithTimeout(ctx, 100*limit.TLS)", "proxy", "TestStages"},
	{[]int{139}, "proxy/proof.go", "&& !b.refill() {", "&& !b.refill() && false {", "proxy", "TestHostileH2"},
	{[]int{139}, "proxy/clear.go", "below.lift(true)", "below.lift(false)", "proxy", "TestHostileH2C"},
	{[]int{139}, "proxy/dial.go", "says.answered(chatterFactor * int64(n))", "says.answered(0)", "proxy", "TestAnswersAreNoChatter"},
	{[]int{143}, "proxy/forward.go", "if b.limit > 0 && b.n > b.limit {", "if false {", "proxy", "TestEndlessAnswers"},
	{[]int{145}, "proxy/exchange.go", "if x.unrepeatable(i.Conn) {", "if false {", "proxy", "TestResends"},
	{[]int{145}, "proxy/forward.go", "x.once(out.Header)", "_ = x.once", "proxy", "TestResends"},
}
