package rego

import (
	"context"
	"maps"
	"net/textproto"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	opacache "github.com/open-policy-agent/opa/v1/topdown/cache"

	"sallyport/policy"
)

// compile makes a policy of parsed modules, or says everything that is wrong.
func compile(ctx context.Context, o Options, src *source) (*Policy, error) {
	if errs := checkModules(src.modules); len(errs) > 0 {
		return nil, problems(o.Name, errs)
	}
	p := &Policy{name: o.Name, digest: src.digest, revision: src.revision, sequence: -1, steps: o.Steps, deadline: o.Deadline, phases: map[policy.Phase]*phase{}}
	if src.sequenced {
		p.sequence = src.sequence
	}
	if p.steps == 0 {
		p.steps = 20_000
	}
	if p.deadline == 0 {
		p.deadline = 100 * time.Millisecond
	}
	p.store = inmem.NewFromObjectWithOpts(src.data, inmem.OptReturnASTValuesOnRead(true))
	var err error
	if p.txn, err = p.store.NewTransaction(ctx); err != nil {
		return nil, err
	}
	all, err := composing()
	if err != nil {
		return nil, err
	}
	prune(all, src)
	borrowed, err := borrow(all, src.modules)
	if err != nil {
		return nil, err
	}
	if p.digest, err = withLibrary(src.digest, borrowed); err != nil {
		return nil, err
	}
	maps.Copy(all, src.modules)
	c := newCompiler().WithPathConflictsCheck(storage.NonEmpty(ctx, p.store, p.txn))
	c.Compile(all)
	if c.Failed() {
		return nil, problems(o.Name, c.Errors)
	}
	p.compiler = c
	p.values = opacache.NewInterQueryValueCache(ctx, &opacache.Config{InterQueryBuiltinValueCache: opacache.InterQueryBuiltinValueCacheConfig{MaxNumEntries: intp(1000)}})
	if errs := p.inspect(ctx, src, !o.Uncached); len(errs) > 0 {
		return nil, problems(o.Name, errs)
	}
	if err := p.readProps(ctx); err != nil {
		return nil, problems(o.Name, err)
	}
	return p, nil
}

func intp(n int) *int { return &n }

func newCompiler() *ast.Compiler {
	return ast.NewCompiler().WithStrict(true).WithUseTypeCheckAnnotations(true).WithSchemas(schemaSet()).
		WithCapabilities(capabilities()).WithDefaultRegoVersion(ast.RegoV1)
}

// checkModules refuses what would weaken the contract, before compiling.
func checkModules(modules map[string]*ast.Module) (errs ast.Errors) {
	fail := func(l *ast.Location, format string, a ...any) {
		errs = append(errs, ast.NewError(ast.CompileErr, l, format, a...))
	}
	rules := 0
	for _, f := range slices.Sorted(maps.Keys(modules)) {
		m := modules[f]
		pkg := m.Package.Path
		ph := phaseOf(pkg)
		switch {
		case pkg[1].Value.Compare(ast.String("sallyport")) == 0:
			fail(m.Package.Location, "package %v is reserved", pkg)
		case ph == "" && pkg[1].Value.Compare(ast.String("egress")) == 0:
			fail(m.Package.Location, "%v is not a phase; the phases are egress and egress.connect, dns, dial, response, message. Helpers go into another package, such as lib", pkg)
		}
		for _, a := range m.Annotations {
			if len(a.Schemas) > 0 {
				fail(a.Location, "schemas are given by sallyport: leave the annotation out")
			}
		}
		for _, r := range m.Rules {
			if ph != "" {
				rules++
			}
			v, ok := verbs[ph][r.Head.Name.String()]
			switch {
			case !ok:
			case r.Default && (v.kind != "boolean" || r.Head.Value.Value.Compare(ast.Boolean(false)) != 0):
				fail(r.Location, "a verb can have no default but false")
			case v.kind == "set" && r.Head.RuleKind() != ast.MultiValue:
				fail(r.Location, "%[1]s must be a set: write `%[1]s contains … if { … }`", r.Head.Name)
			}
		}
	}
	if rules == 0 && len(errs) == 0 {
		fail(nil, "there is no rule in package egress or one below it: an empty policy is refused. Write `package egress` and a rule such as `allow if input.destination.host == \"example.com\"`")
	}
	errs.Sort()
	return errs
}

// inspect checks what only the compiled policy shows, and prepares its phases.
func (p *Policy) inspect(ctx context.Context, src *source, keep bool) (errs ast.Errors) {
	c := p.compiler
	fail := func(l *ast.Location, format string, a ...any) {
		errs = append(errs, ast.NewError(ast.TypeErr, l, format, a...))
	}
	used := map[*ast.Rule]bool{}
	props := reach(c, ast.MustParseRef("data.sallyport.egress.requires_props"))
	for r := range props.rules {
		used[r] = true
	}
	for _, rd := range props.reads {
		fail(rd.at, "requires_props must not read the input: it is asked when a sandbox is created")
	}
	for ph, vs := range verbs {
		x := &phase{entry: entryOf(ph)}
		p.phases[ph] = x
		for v, s := range vs {
			rs := c.GetRulesExact(packageOf(ph).Append(ast.StringTerm(v)))
			if len(rs) == 0 {
				continue
			}
			x.has = true
			x.author = append(x.author, rs...)
			if err := s.check(v, c.TypeEnv.GetByRef(rs[0].Ref())); err != nil {
				fail(rs[0].Location, "%v", err)
			}
		}
		x.owned = ownedHeaders(x.author)
		errs = append(errs, p.counted(x)...)
		errs = append(errs, constants(x.author)...)
		res := reach(c, x.entry)
		for r := range res.rules {
			used[r] = true
		}
		for _, rd := range res.reads {
			if i := missing(schemas[ph], rd.path[1:]); i >= 0 {
				if borrowed(rd.at) {
					at, name := p.blame(res, rd)
					fail(at, "%v is not in the input of phase %s, and %s reads it", rd.path[:i+2], ph, name)
					continue
				}
				fail(rd.at, "%v is not in the input of phase %s", rd.path[:i+2], ph)
			}
		}
		x.reads = res.minimal()
		x.wants = wantedOf(x.reads)
		x.told = x.wants.pointers()
		x.ofSandbox, x.clock = overlaps(x.reads, sandboxRef), res.clock
		if keep {
			x.parts, x.kept = keyParts(ph, x, res.clock), newCache()
		}
		q, err := rego.New(rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(x.entry)))), rego.Compiler(c), rego.Store(p.store), rego.Transaction(p.txn)).PrepareForEval(ctx)
		if err != nil {
			fail(nil, "%v", err)
			continue
		}
		x.query = q
	}
	for f := range src.modules {
		m := c.Modules[f]
		if phaseOf(m.Package.Path) == "" {
			for _, r := range m.Rules {
				if _, verb := verbs[policy.Request][r.Head.Name.String()]; verb && !used[r] {
					fail(r.Location, "%v is no phase and nothing uses its rule %v: is package egress meant?", m.Package.Path, r.Head.Ref())
				}
			}
			continue
		}
		for _, r := range m.Rules {
			if !used[r] && !slices.ContainsFunc(c.GetRulesWithPrefix(r.Ref().GroundPrefix()), func(r *ast.Rule) bool { return used[r] }) {
				fail(r.Location, "rule %v is no verb of %v, and nothing uses it; is it misspelt?", r.Head.Ref(), m.Package.Path)
			}
		}
	}
	errs.Sort()
	return errs
}

// ownedHeaders are the constant names that rules set.
func ownedHeaders(rules []*ast.Rule) (out []string) {
	for _, r := range rules {
		if r.Head.Name.String() != "set_headers" {
			continue
		}
		ast.WalkTerms(r, func(t *ast.Term) bool {
			if o, ok := t.Value.(ast.Object); ok && o.Get(ast.StringTerm("value")) != nil {
				if n := o.Get(ast.StringTerm("name")); n != nil {
					if s, ok := n.Value.(ast.String); ok {
						out = append(out, textproto.CanonicalMIMEHeaderKey(string(s)))
					}
				}
			}
			return false
		})
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// readProps evaluates requires_props, which reads no input, once.
func (p *Policy) readProps(ctx context.Context) error {
	q := ast.NewBody(ast.NewExpr(ast.NewTerm(ast.MustParseRef("data.sallyport.egress.requires_props"))))
	rs, err := rego.New(rego.ParsedQuery(q), rego.Compiler(p.compiler), rego.Store(p.store), rego.Transaction(p.txn)).Eval(ctx)
	if err != nil || len(rs) == 0 {
		return err
	}
	list, _ := rs[0].Expressions[0].Value.([]any)
	for _, v := range list {
		if s, ok := v.(string); ok {
			p.props = append(p.props, s)
		} else if m, ok := v.(map[string]any); ok {
			if s, ok := m["text"].(string); ok {
				p.props = append(p.props, s)
			}
		}
	}
	return nil
}
