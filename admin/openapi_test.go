package admin

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// The document says what the server answers: its routes, and the fields of its
// types.
func TestOpenAPI(t *testing.T) {
	text, err := os.ReadFile("../docs/control.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths      map[string]map[string]any
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var said []string
	for path, item := range doc.Paths {
		for method := range item {
			if method != "parameters" {
				said = append(said, strings.ToUpper(method)+" "+path)
			}
		}
	}
	src, err := os.ReadFile("server.go")
	if err != nil {
		t.Fatal(err)
	}
	var served []string
	for _, m := range regexp.MustCompile(`handle\("([A-Z]+ /[^"]+)"`).FindAllStringSubmatch(string(src), -1) {
		served = append(served, m[1])
	}
	slices.Sort(said)
	slices.Sort(served)
	if !slices.Equal(said, served) || len(served) < 9 {
		t.Errorf("said   %v\nserved %v", said, served)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Sandbox](), reflect.TypeFor[Create](), reflect.TypeFor[Ticket](), reflect.TypeFor[Created](), reflect.TypeFor[Patch](), reflect.TypeFor[Change](), reflect.TypeFor[Policy](), reflect.TypeFor[Bundle](), reflect.TypeFor[BundleProblem](), reflect.TypeFor[Limits](), reflect.TypeFor[LimitsPatch](), reflect.TypeFor[Credential](), reflect.TypeFor[Decision](), reflect.TypeFor[Status](), reflect.TypeFor[Confinement](), reflect.TypeFor[Capabilities](), reflect.TypeFor[Landlock](), reflect.TypeFor[Problem](), reflect.TypeFor[Binding](), reflect.TypeFor[BindingTLS](), reflect.TypeFor[Via](), reflect.TypeFor[OlderCA](), reflect.TypeFor[Sink](), reflect.TypeFor[Rotate](), reflect.TypeFor[Rotated]()} {
		var want, got []string
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			want = append(want, name)
		}
		for name := range doc.Components.Schemas[typ.Name()].Properties {
			got = append(got, name)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s has %v, and the document %v", typ.Name(), want, got)
		}
	}
}
