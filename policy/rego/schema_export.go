package rego

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sallyport/policy"
)

// SchemaPhases are the names of the schemas: those of the phases, in the order in
// which they are asked.
func SchemaPhases() (out []string) {
	for _, ph := range order {
		out = append(out, string(ph))
	}
	return out
}

// Schema is the input of a phase as JSON Schema (draft 7), with what each field is:
// the schema by which policies are checked. A phase is called as it is below package
// egress, or as that package.
func Schema(phase string) ([]byte, error) {
	ph := policy.Phase(strings.TrimPrefix(phase, "egress."))
	s, known := schemas[ph]
	if !known {
		return nil, fmt.Errorf("%q is not a phase; expected one of %s", phase, strings.Join(SchemaPhases(), ", "))
	}
	pkg := strings.TrimPrefix(packageOf(ph).String(), "data.")
	out := described(s, "").(map[string]any)
	out["$schema"] = "http://json-schema.org/draft-07/schema#"
	out["title"] = "input of package " + pkg
	b, err := json.MarshalIndent(out, "", "  ")
	return append(b, '\n'), err
}

// described is a copy of a schema with what is said of each field below path.
func described(schema any, path string) any {
	m, ok := schema.(map[string]any)
	if !ok {
		return schema
	}
	out := map[string]any{}
	for k, v := range m {
		switch {
		case k == "properties":
			fields := map[string]any{}
			for name, f := range v.(map[string]any) {
				fields[name] = described(f, strings.TrimPrefix(path+"."+name, "."))
			}
			out[k] = fields
		case k == "additionalProperties", k == "items":
			out[k] = described(v, path+".*")
		default:
			out[k] = v
		}
	}
	if words := schemaWords[path]; words != "" {
		out["description"] = words
	}
	return out
}

// inputFields are the paths of all fields of a schema, sorted.
func inputFields(schema any, path string) (out []string) {
	m, ok := schema.(map[string]any)
	if !ok {
		return nil
	}
	if path != "" {
		out = append(out, path)
	}
	props, _ := m["properties"].(map[string]any)
	for name, f := range props {
		out = append(out, inputFields(f, strings.TrimPrefix(path+"."+name, "."))...)
	}
	if more, ok := m["additionalProperties"].(map[string]any); ok {
		out = append(out, inputFields(more, path+".*")...)
	}
	if items, ok := m["items"].(map[string]any); ok && items["properties"] != nil {
		out = append(out, inputFields(items, path+".*")...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
