package sidecar

import (
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"sallyport/config"
)

// Whatever a configuration can name of the file system is left to serve: a key of
// which the description speaks of a file, a directory or a path.
func TestFootprintIsWhole(t *testing.T) {
	speaks := regexp.MustCompile(`\bfile:PATH\b|\bPEM\b|\bfiles?\b|\bdirector(y|ies)\b|\bpath of\b`)
	f := &config.File{}
	want := map[string]string{} // path: key
	var fill func(v reflect.Value, key, doc string)
	fill = func(v reflect.Value, key, doc string) {
		switch x := v.Addr().Interface().(type) {
		case *config.Text:
			path := fmt.Sprintf("/footprint/%d/x", len(want))
			switch {
			case !speaks.MatchString(doc):
				return
			case regexp.MustCompile(`file:PATH`).MatchString(doc):
				x.S = "file:" + path
			default:
				x.S = path
			}
			want[path] = key
			return
		}
		switch v.Kind() {
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Struct {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
				fill(v.Index(0), key+"[0]", doc)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if ft := v.Type().Field(i); ft.IsExported() && ft.Tag.Get("yaml") != "" {
					fill(v.Field(i), key+"."+ft.Tag.Get("yaml"), ft.Tag.Get("doc"))
				}
			}
		}
	}
	fill(reflect.ValueOf(f).Elem(), "", "")
	if len(want) < 15 {
		t.Fatalf("only %d keys were found: %v", len(want), want)
	}
	f.User.S = ""
	files := left(&config.Problems{}, "/etc/sallyport/x.yaml", f).Files
	all := slices.Concat(files.Read, files.Write, files.Sockets)
	for path, key := range want {
		if !slices.Contains(all, path) && !slices.Contains(all, filepath.Dir(path)) {
			t.Errorf("%s is not left to serve", key)
		}
	}
}
