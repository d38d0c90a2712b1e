package rego

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/rego"

	"sallyport/policies"
	"sallyport/policy"
)

// Each field of the input that policies are checked against is explained to editors,
// and nothing else is.
func TestSchemaWords(t *testing.T) {
	known := inputFields(anySchema, "")
	for _, f := range known {
		if schemaWords[f] == "" {
			t.Errorf("schemaWords does not say what input.%s is", f)
		}
	}
	for f := range schemaWords {
		if !slices.Contains(known, f) {
			t.Errorf("schemaWords has %s, which no input has", f)
		}
	}
}

// The schema that is exported is the one of the modules that ship: one file gives each
// phase its own, by its name.
func TestSchemasAreThoseOfTheModules(t *testing.T) {
	given := map[string]string{}
	files, err := fs.Glob(policies.Composing, "sallyport/schema_*.rego")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := fs.ReadFile(policies.Composing, f)
		if err != nil {
			t.Fatal(err)
		}
		name := regexp.MustCompile(`input: schema\.([a-z]+)`).FindStringSubmatch(string(b))
		given["schema."+name[1]] = packageIn(strings.Split(string(b), "\n"))
	}
	if len(given) != len(schemas) {
		t.Errorf("%v for %d phases", given, len(schemas))
	}
	for _, ph := range SchemaPhases() {
		b, err := Schema(ph)
		if err != nil {
			t.Fatal(err)
		}
		if pkg := given["schema."+ph]; pkg == "" || !strings.Contains(string(b), `"title": "input of package `+pkg+`"`) {
			t.Errorf("%s is not given to package %q", ph, pkg)
		}
		var said map[string]any
		if err := json.Unmarshal(b, &said); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(inputFields(said, ""), inputFields(schemas[policy.Phase(ph)], "")) {
			t.Errorf("%s: %v", ph, inputFields(said, ""))
		}
	}
	if _, err := Schema("egress.conect"); err == nil || !strings.Contains(err.Error(), "connect, egress, dns, dial, response, message") {
		t.Error(err)
	}
}

// What the proxy asks is as the schema says, and what is not is told by it.
func TestQuestionsFitTheSchema(t *testing.T) {
	q := question(t)
	q.Request.GRPC = &policy.GRPC{Service: "a.B", Method: "C"}
	q.Request.Body, q.Request.BodyState = map[string]any{"a": []any{1, "b"}}, policy.BodyParsed
	b, err := Schema("egress")
	if err != nil {
		t.Fatal(err)
	}
	match, err := rego.New(rego.Query("json.match_schema(input.document, input.schema)[0]")).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in := build(&wanted{all: true}, q).String()
	for text, fits := range map[string]bool{in: true, strings.Replace(in, `"method"`, `"metod"`, 1): false, strings.Replace(in, `"port": 443`, `"port": "443"`, 1): false} {
		rs, err := match.Eval(t.Context(), rego.EvalInput(map[string]any{"document": text, "schema": string(b)}))
		if err != nil || len(rs) != 1 || rs[0].Expressions[0].Value != fits {
			t.Errorf("%v, %v: %s", rs, err, text)
		}
	}
}

// OPA's own `opa check --schema schema policy sallyport annotations` finds in what init
// writes a field that there is not.
func TestScaffoldWithStockSchemas(t *testing.T) {
	dir := t.TempDir()
	if _, err := Scaffold(dir); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		read, err := loader.NewFileLoader().WithProcessAnnotation(true).All([]string{filepath.Join(dir, "policy"), filepath.Join(dir, "sallyport"), filepath.Join(dir, "annotations")})
		if err != nil {
			t.Fatal(err)
		}
		s, err := loader.Schemas(filepath.Join(dir, "schema"))
		if err != nil {
			t.Fatal(err)
		}
		c := ast.NewCompiler().WithStrict(true).WithUseTypeCheckAnnotations(true).WithSchemas(s)
		if c.Compile(read.ParsedModules()); c.Failed() {
			return c.Errors
		}
		return nil
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "policy", "wrong.rego"), []byte("package egress\n\ndeny contains \"x\" if input.request.metod == \"PUT\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "metod") {
		t.Errorf("the misspelt field is not found: %v", err)
	}
}
