package main

// Guards of faults and the log.
var faults = []mutant{
	{[]int{135}, "proxy/limits.go", "if g.active.Add(1) > int64(l.Requests) {", "if g.active.Add(1) < 0 {", "proxy", "TestRequestsAreBounded"},
	{[]int{156}, "proxy/flood.go", "if f.kept[ev.Name] >= floodKinds {", "if len(f.seen) >= floodKinds {", "proxy", "TestFloodsAreApart"},
	{[]int{147}, "proxy/exchange.go", "p := recover()\n", "var p any\n", "proxy", "TestPanic"},
	{[]int{148}, "cmd/sidecar/memory.go", "(limit == 0 || n < limit)", "limit == 0", sidecarPkg, "TestMemoryOf"},
	{[]int{148}, "cmd/sidecar/serve.go", "memory := limitMemory()", "memory := int64(0)", e2e, "TestOutOfMemory"},
	{[]int{239}, "proxy/inspect.go", "if ref := x.gate.hold(size * inspectCost); ref != nil {", "if ref := x.gate.hold(size * inspectCost); false {", "proxy", "TestInspectedBodiesAreBounded"},
	{[]int{239}, "proxy/exchange.go", "\tx.inspectedAll()\n", "", "proxy", "TestInspectedBodiesAreBounded"},
	{[]int{149}, "proxy/tunnel.go", "\tlinger(0)\n", "", e2e, "TestCutsLookCut"},
	{[]int{150}, "cmd/sidecar/clock.go", "if step := is.Sub(was); step.Abs() >= clockJump {", "if step := is.Sub(was); step >= clockJump {", sidecarPkg, "TestClockJumps"},
	{[]int{151}, "audit/writer.go", "l.seg.failed = true\n\tl.seal.fresh =", "l.seal.fresh =", "audit", "TestSyncFails"},
	{[]int{152}, "audit/encode.go", "|| !json.Valid(d.Input):", "|| !json.Valid(d.Input) && false:", "audit", "TestInjection"},
	{[]int{154}, "proxy/record.go", "return refuse(http.StatusServiceUnavailable, \"audit_unavailable\"", "return nil\n\t}\n\tif false {\n\t\tvar err error\n\t\treturn refuse(http.StatusServiceUnavailable, \"audit_unavailable\"", e2e, "TestAuditUnavailable"},
	{[]int{155}, "audit/segment.go", "return err == nil && os.SameFile(mine, there) && there.Size() >= s.off", "return err == nil && mine != nil && there != nil", "audit", "TestUnlinkedAndReplaced"},
	{[]int{159}, "audit/log.go", "for _, d := range rec.open {", "for _, d := range rec.open[:0] {", "audit", "TestRecordAndVerify"},
	{[]int{159, 164}, "audit/log.go", "err := unix.Fdatasync(int(f.Fd()))", "var err error", e2e, "TestRecordBeforeEffect"},
	{[]int{160}, "audit/writer.go", "if l.o.Filter == nil {", "if true {", "audit", "TestFilter"},
	{[]int{157}, "audit/sealed.go", "case c.Root != s.tree.root():", "case false:", "audit", "TestWhateverIsDoneToALogShows"},
	{[]int{157}, "audit/walk.go", "if x.Root != w.sealed.tree.root() {", "if false {", "audit", "TestWhateverIsDoneToALogShows"},
	{[]int{157}, "audit/sealed.go", "case x.Size > w.sealed.tree.size:", "case false:", "audit", "TestCutsShow"},
	{[]int{157}, "audit/prove.go", "return errors.New(\"the record is not among those that were signed\")", "return nil", "audit", "TestProofs"},
	{[]int{158}, "audit/checkpoint.go", "n, err := note.Open([]byte(text), note.VerifierList(v))", "n, err := note.Open([]byte(text), note.VerifierList(v))\n\t\tif e, ok := err.(*note.UnverifiedNoteError); ok {\n\t\t\tn, err = e.Note, nil\n\t\t}", "audit", "TestWhateverIsDoneToALogShows"},
}
