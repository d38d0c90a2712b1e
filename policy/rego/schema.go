package rego

import (
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// Schemas of the input, phase by phase: a field that a phase does not have is an
// error when a policy is loaded.
var (
	text    = map[string]any{"type": "string"}
	integer = map[string]any{"type": "integer"}
	texts   = array(text)
	fields  = map[string]any{"type": "object", "additionalProperties": texts}

	sandboxSchema = object(map[string]any{
		"id": text, "name": text, "labels": map[string]any{"type": "object", "additionalProperties": text},
		"props": map[string]any{"type": "object", "additionalProperties": true}, "identity": object(map[string]any{"way": text, "peer": text}),
	})
	destinationSchema = object(map[string]any{
		"host": text, "host_suffixes": texts, "port": integer, "scheme": text, "protocol": text, "registered_domain": text,
		"authority": object(map[string]any{"connect": text, "sni": text, "host": text}),
	})
	partSchema      = object(map[string]any{"name": text, "filename": text, "content_type": text, "size": integer, "value": text})
	operationSchema = object(map[string]any{"type": text, "name": text, "fields": texts})
	callSchema      = object(map[string]any{"kind": text, "method": text, "tool": text, "id": map[string]any{}, "params": map[string]any{}})

	bodySchema    = map[string]any{"content_type": text, "size": integer, "body": map[string]any{}, "body_state": text}
	requestSchema = object(with(bodySchema, map[string]any{
		"method": text, "path": text, "path_raw": text, "segments": texts, "query": fields, "headers": fields,
		"grpc": object(map[string]any{"service": text, "method": text}),
		"form": fields, "multipart": array(partSchema), "graphql": array(operationSchema), "rpc": array(callSchema),
	}))
	responseSchema = object(with(bodySchema, map[string]any{"status": integer, "headers": fields}))
	messageSchema  = object(map[string]any{"direction": text, "kind": text, "size": integer, "body": map[string]any{}, "body_state": text})
	questionSchema = object(map[string]any{"name": text, "name_suffixes": texts, "registered_domain": text, "type": text})

	schemas = map[policy.Phase]map[string]any{
		policy.Request:  input("request", requestSchema),
		policy.Connect:  input(),
		policy.DNS:      object(map[string]any{"sandbox": sandboxSchema, "question": questionSchema}),
		policy.Dial:     input("request", requestSchema, "addresses", texts),
		policy.Response: input("request", requestSchema, "response", responseSchema),
		policy.Message:  input("request", requestSchema, "message", messageSchema),
	}
	anySchema = input("request", requestSchema, "response", responseSchema, "message", messageSchema, "question", questionSchema, "addresses", texts)
)

func array(of map[string]any) map[string]any { return map[string]any{"type": "array", "items": of} }

func object(props map[string]any) map[string]any {
	return map[string]any{"type": "object", "additionalProperties": false, "properties": props}
}

func with(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func input(more ...any) map[string]any {
	props := map[string]any{"sandbox": sandboxSchema, "destination": destinationSchema}
	for i := 0; i < len(more); i += 2 {
		props[more[i].(string)] = more[i+1]
	}
	return object(props)
}

// schemaSet is what the compiler is given: the schema of each phase by name, and
// for helpers the fields of all.
func schemaSet() *ast.SchemaSet {
	ss := ast.NewSchemaSet()
	ss.Put(ast.SchemaRootRef, anySchema)
	for ph, s := range schemas {
		ss.Put(ast.MustParseRef("schema."+string(ph)), s)
	}
	return ss
}

// missing returns the index of the first element of path, which begins below
// input, that a schema does not have, or -1.
func missing(schema map[string]any, path ast.Ref) int {
	for i, t := range path {
		props, _ := schema["properties"].(map[string]any)
		k, _ := t.Value.(ast.String)
		next, ok := props[string(k)].(map[string]any)
		if !ok {
			if more, ok := schema["additionalProperties"]; ok && more == false {
				return i
			}
			return -1
		}
		schema = next
	}
	return -1
}
