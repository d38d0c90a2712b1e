package views

import (
	"encoding/json"

	"sallyport/policy"
)

// envelope are the names of a message of JSON-RPC 2.0.
var envelope = []string{"jsonrpc", "id", "method", "params", "result", "error"}

// calls are the messages of JSON-RPC in a JSON value: one, or all of a batch. It is
// nil for what is none, or what servers may read otherwise.
func calls(v any) []policy.Call {
	batch, isBatch := v.([]any)
	if !isBatch {
		batch = []any{v}
	}
	var out []policy.Call
	for _, e := range batch {
		c, ok := call(e)
		if !ok {
			return nil
		}
		out = append(out, c)
	}
	return out
}

func call(v any) (c policy.Call, ok bool) {
	m, ok := v.(map[string]any)
	if !ok || !only(m, envelope...) {
		return c, false
	}
	switch id := m["id"].(type) {
	case nil, string, json.Number:
		c.ID = id
	default:
		return c, false
	}
	_, result := m["result"]
	_, failed := m["error"]
	method, called := m["method"]
	if !called {
		c.Kind = "response"
		return c, result || failed
	}
	if c.Method, ok = method.(string); !ok || result || failed {
		return c, false
	}
	c.Kind = "notification"
	if _, asked := m["id"]; asked {
		c.Kind = "request"
	}
	c.Params = m["params"]
	if c.Method == "tools/call" {
		params, _ := c.Params.(map[string]any)
		if c.Tool, ok = params["name"].(string); !ok || !only(params, "name", "arguments") {
			return c, false
		}
	}
	return c, true
}
