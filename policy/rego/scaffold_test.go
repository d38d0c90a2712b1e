package rego

import (
	"path/filepath"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/tester"
)

// OPA's own `opa check --strict --schema` and `opa test`, by its library with
// nothing of ours: no capabilities, no shipped modules.
func TestScaffoldWithStockOPA(t *testing.T) {
	dir := t.TempDir()
	if _, err := Scaffold(dir); err != nil {
		t.Fatal(err)
	}
	read, err := loader.NewFileLoader().WithProcessAnnotation(true).All([]string{filepath.Join(dir, "policy"), filepath.Join(dir, "sallyport")})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := loader.Schemas(filepath.Join(dir, "schema")); err != nil || s.Get(ast.MustParseRef("schema.egress")) == nil {
		t.Errorf("the schemas are not read: %v", err)
	}
	c := ast.NewCompiler().WithStrict(true)
	if c.Compile(read.ParsedModules()); c.Failed() {
		t.Fatal(c.Errors)
	}
	store, err := read.Store()
	if err != nil {
		t.Fatal(err)
	}
	txn, err := store.NewTransaction(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ch, err := tester.NewRunner().SetStore(store).SetModules(read.ParsedModules()).RunTests(t.Context(), txn)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for r := range ch {
		if n++; !r.Pass() {
			t.Errorf("%s: %v", r.Name, r.Error)
		}
	}
	if n != 3 {
		t.Errorf("%d tests ran", n)
	}
}
