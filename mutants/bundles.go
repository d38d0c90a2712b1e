package main

// Guards of policies that are bundles, and of where they come from.
var bundled = []mutant{
	{[]int{85}, sidecarPkg + "/decided.go", "engines = append(engines, absent(n))\n\t\t\tcontinue", "continue", sidecarPkg, "TestTake"},
	{[]int{85}, sidecarPkg + "/telling.go", "out.Ready, out.Reasons = out.Ready && whole, append(out.Reasons, reasons...)", "_, out.Reasons = whole, append(out.Reasons, reasons...)", e2e, "TestColdStart"},
	{[]int{87}, sidecarPkg + "/take.go", "if err := s.fits(p, pol); err != nil {", "if err := s.fits(p, pol); err != nil && false {", sidecarPkg, "TestTake"},
	{[]int{400}, "policy/rego/signed.go", "if len(signed) > 0 {", "if len(signed) > 0 && false {", "policy/rego", "TestSignedBundles"},
	{[]int{400}, "policy/rego/bundled.go", "if o.Verify == nil {", "if true {", "policy/rego", "TestSignedBundles"},
	{[]int{401}, "policy/bundle/version.go", "case n > 0:", "case n > 1:", "policy/bundle", "TestVersions"},
	{[]int{401}, sidecarPkg + "/take.go", "if f.here && !same && !f.by.rollback {", "if f.here && !same && false {", sidecarPkg, "TestTake"},
	{[]int{401}, sidecarPkg + "/feeds.go", "out.here, out.sum, out.etag, out.restored = true, k.Sum, k.ETag, true", "out.sum, out.etag, out.restored = k.Sum, k.ETag, true", sidecarPkg, "TestTake"},
	{[]int{402}, "policy/rego/archive.go", "bounded := &io.LimitedReader{R: z, N: limit + 1}", "bounded := &io.LimitedReader{R: z, N: 1 << 40}", "policy/rego", "TestBundles"},
	{[]int{402}, "policy/bundle/http.go", "io.LimitReader(resp.Body, h.o.Max+1)", "io.LimitReader(resp.Body, h.o.Max)", "policy/bundle", "TestSources"},
	{[]int{403}, "policy/rego/archive.go", "case len(bytes.Trim(rest, \"\\x00\")) > 0, in.Len() > 0:", "case len(bytes.Trim(rest, \"\\x00\")) > 0:", "policy/rego", "TestBundles"},
	{[]int{403}, "policy/rego/archive.go", "case seen[name]:", "case seen[name] && false:", "policy/rego", "TestBundles"},
	{[]int{404}, "policy/bundle/http.go", "ctx, cancel := context.WithTimeout(ctx, h.o.Time+a.Wait)", "ctx, cancel := context.WithTimeout(ctx, 100*h.o.Time+a.Wait)", "policy/bundle", "TestSlowSources"},
	{[]int{404}, "policy/bundle/http.go", "case resp.StatusCode == http.StatusNotModified && a.ETag == \"\":", "case false:", "policy/bundle", "TestSources"},
	{[]int{405}, "policy/bundle/http.go", "unknown.Certificates = nil", "unknown.Certificates = o.TLS.Certificates", "policy/bundle", "TestTokensStayHome"},
	{[]int{405}, "policy/bundle/http.go", "if sameOrigin(at, h.o.URL) {", "if true {", "policy/bundle", "TestTokensStayHome"},
	{[]int{405}, "policy/bundle/redirect.go", "if dest.Judge(ip, nil).Class == dest.Metadata {", "if dest.Judge(ip, nil).Class == dest.Own {", "policy/bundle", "TestSources"},
	{[]int{406}, "policy/bundle/kept.go", "if (&Bundle{Bytes: rest}).Sum() != k.Sum ||", "if", "policy/bundle", "TestKept"},
	{[]int{407}, "policy/bundle/oci.go", "case layers[0].Size > s.o.Max:", "case false:", "policy/bundle", "TestRegistries"},
	{[]int{407}, "policy/bundle/oci.go", "case r.URL.Scheme != \"https\":", "case false:", "policy/bundle", "TestRegistries"},
	{[]int{408}, sidecarPkg + "/decided.go", "if !slices.ContainsFunc(strings.Fields(key), func(n string) bool { return slices.Contains(names, n) }) {", "if true || slices.Contains(names, key) {", sidecarPkg, "TestBundlesUnderLoad"},
}
