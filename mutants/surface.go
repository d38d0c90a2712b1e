package main

// Guards of what policies can say.
var surface = []mutant{
	{[]int{410}, "policy/rego/quota.go", "errs = append(errs, ast.NewError(", "_ = append(errs, ast.NewError(", "policy/rego", "TestQuotasRefused"},
	{[]int{410}, "policy/rego/decide.go", "if n, bad := x.unnamed(d.Quotas); bad {", "if n, bad := x.unnamed(d.Quotas); bad && false {", "policy/rego", "TestQuotasRefused"},
	{[]int{410}, "proxy/quota.go", "if len(q.rates) >= maxCounters && !q.spare(now) {", "if false {", "proxy", "TestCountersAreFew"},
	{[]int{410}, "proxy/quota.go", "if b.fill(now); b.left >= b.burst {", "if b.fill(now); b.left >= 0 {", "proxy", "TestCountersAreFew"},
	{[]int{410}, "proxy/quota.go", "rate, burst = min(rate, b.rate), min(burst, b.burst)", "", "proxy", "TestQuotasTogether"},
	{[]int{410}, "proxy/exchange.go", "if x.counted, ref = x.gate.quotas.take(x.decision, quotas, time.Now()); ref != nil {", "if x.counted, ref = x.gate.quotas.take(x.decision, quotas, time.Now()); ref != nil && false {", "proxy", "TestRatesOfPolicy"},
	{[]int{82}, "proxy/views/coding.go", "if len(names) > maxCodings || readable(b) {", "if len(names) > maxCodings {", "proxy/views", "TestReadableCodings"},
	{[]int{82}, "proxy/views/coding.go", "z.Multistream(false) // some read the first member and stop", "", "proxy/views", "TestCodings"},
	{[]int{82}, "proxy/views/coding.go", "case err != nil || in.Len() > 0:", "case err != nil:", "proxy/views", "TestCodings"},
	{[]int{82}, "proxy/views/coding.go", "if !oneFrame(b) {", "if false {", "proxy/views", "TestCodings"},
	{[]int{82}, "proxy/views/views.go", "return kind, params, !said || strings.EqualFold(cs, \"utf-8\")", "return kind, params, !said || cs != \"\"", "proxy/views", "TestForms"},
	{[]int{82}, "proxy/views/form.go", "return q, plain(q[\"_charset_\"])", "return q, q != nil", "proxy/views", "TestForms"},
	{[]int{82}, "proxy/views/multipart.go", "|| bytes.Contains(one, []byte(\"\\n--\"+mark))", "", "proxy/views", "TestMultipart"},
	{[]int{82}, "proxy/views/multipart.go", "if _, twice := said[m[1]]; twice {", "if _, twice := said[m[1]]; twice && false {", "proxy/views", "TestMultipart"},
	{[]int{82}, "policy/rego/views.go", "if unknown&v != 0 {", "if unknown&v > 200 {", "policy/rego", "TestUncertainty"},
	{[]int{82, 89}, "policy/rego/cachekey.go", "&& r.GraphQL == nil && r.Hidden == 0)", ")", "policy/rego", "TestCacheIsSound"},
	{[]int{83}, "proxy/views/json.go", "if _, twice := out[name]; twice {", "if _, twice := out[name]; twice && false {", "proxy/views", "TestJSON"},
	{[]int{83}, "proxy/views/json.go", "|| halves(b) {", "{", "proxy/views", "TestJSON"},
	{[]int{83}, "proxy/views/views.go", "if k != n && strings.EqualFold(k, n) {", "if k != n && strings.EqualFold(k, n) && false {", "proxy/views", "TestRPC"},
	{[]int{83}, "proxy/views/rpc.go", "	for _, e := range batch {", "	for _, e := range batch[:min(1, len(batch))] {", "proxy/views", "TestRPC"},
	{[]int{83}, "proxy/views/graphql.go", "case *ast.InlineFragment:\n\t\t\tif !roots(", "case *ast.InlineFragment:\n\t\t\tif false && !roots(", "proxy/views", "TestGraphQL"},
	{[]int{83}, "proxy/views/graphql.go", "|| op.Name == \"\" && len(doc.Operations) > 1 {", "{", "proxy/views", "TestGraphQL"},
	{[]int{83}, "proxy/views/graphql.go", "if v != nil && among(k, kept) {", "if v != nil && among(k, kept) && false {", "proxy/views", "TestGraphQL"},
	{[]int{411}, "proxy/forward.go", "x.limits = x.limited(x.limits)", "x.decision.Limits = x.limited(x.limits)\n\tx.limits = x.decision.Limits", "proxy", "TestLimitsOfOneAnswer"},
}
