package config

import (
	"encoding/json"
	"reflect"
)

// Schema returns the JSON Schema (draft 2020-12) of the file, for editors.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[File]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "sallyport serve"
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // it is made of texts and maps
	}
	return append(b, '\n')
}

func schemaOf(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[Text]():
		return map[string]any{"type": "string", "minLength": 1}
	case reflect.TypeFor[Number]():
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.TypeFor[Bool]():
		return map[string]any{"type": "boolean"}
	case reflect.TypeFor[Duration]():
		return map[string]any{"type": "string", "pattern": `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`}
	case reflect.TypeFor[Size]():
		return map[string]any{"type": []string{"string", "integer"}, "pattern": `^[0-9]+ ?([KMG]iB)?$`, "minimum": 1}
	case reflect.TypeFor[[]Pair]():
		return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": []string{"string", "number", "boolean"}}}
	case reflect.TypeFor[[]Binding]():
		return map[string]any{"type": "object", "additionalProperties": map[string]any{"oneOf": []any{map[string]any{"type": "string"}, schemaOf(reflect.TypeFor[Binding]())}}}
	case reflect.TypeFor[Tree]():
		return map[string]any{"type": "object"}
	}
	if t.Kind() == reflect.Slice {
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	}
	props, need := map[string]any{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("yaml") == "-" {
			continue
		}
		p := schemaOf(f.Type)
		p["description"] = f.Tag.Get("doc")
		props[f.Tag.Get("yaml")] = p
		if f.Tag.Get("need") != "" {
			need = append(need, f.Tag.Get("yaml"))
		}
	}
	out := map[string]any{"type": "object", "additionalProperties": false, "properties": props}
	if len(need) > 0 {
		out["required"] = need
	}
	if short(t) >= 0 {
		return map[string]any{"oneOf": []any{map[string]any{"type": "string", "minLength": 1}, out}}
	}
	return out
}
