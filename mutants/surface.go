package main

// Guards of what policies can say.
var surface = []mutant{
	{[]int{410}, "policy/rego/quota.go", "errs = append(errs, ast.NewError(", "_ = append(errs, ast.NewError(", "policy/rego", "TestQuotasRefused"},
	{[]int{410}, "policy/rego/decide.go", "if n, bad := x.unnamed(d.Quotas); bad {", "if n, bad := x.unnamed(d.Quotas); bad && false {", "policy/rego", "TestQuotasRefused"},
	{[]int{410}, "proxy/quota.go", "if len(q.rates) >= maxCounters && !q.spare(now) {", "if false {", "proxy", "TestCountersAreFew"},
	{[]int{410}, "proxy/quota.go", "if b.fill(now); b.left >= b.burst {", "if b.fill(now); b.left >= 0 {", "proxy", "TestCountersAreFew"},
	{[]int{410}, "proxy/quota.go", "rate, burst = min(rate, b.rate), min(burst, b.burst)", "", "proxy", "TestQuotasTogether"},
	{[]int{410}, "proxy/exchange.go", "if x.counted, ref = x.gate.quotas.take(x.decision, quotas, time.Now()); ref != nil {", "if x.counted, ref = x.gate.quotas.take(x.decision, quotas, time.Now()); ref != nil && false {", "proxy", "TestRatesOfPolicy"},
	{[]int{411}, "proxy/forward.go", "x.limits = x.limited(x.limits)", "x.decision.Limits = x.limited(x.limits)\n\tx.limits = x.decision.Limits", "proxy", "TestLimitsOfOneAnswer"},
}
