package views

import (
	"encoding/json"
	"testing"

	"sallyport/policy"
)

// Edits are those of RFC 6902, numbers keep their digits, and what was is left alone.
func TestPatch(t *testing.T) {
	const body = `{"a":{"b":[1,2.50,{"c":"<&>"}]},"big":12345678901234567890.10,"x/y":1,"m~n":2}`
	v, ok := JSON([]byte(body))
	if !ok {
		t.Fatal("not read")
	}
	for _, c := range []struct {
		op, path string
		value    any
		want     string // "" is an error
	}{
		{"replace", "/a/b/1", json.Number("3.00"), `{"a":{"b":[1,3.00,{"c":"<&>"}]},"big":12345678901234567890.10,"m~n":2,"x/y":1}`},
		{"replace", "/a/b/2/c", map[string]any{"d": nil}, `{"a":{"b":[1,2.50,{"c":{"d":null}}]},"big":12345678901234567890.10,"m~n":2,"x/y":1}`},
		{"add", "/a/b/0", "z", `{"a":{"b":["z",1,2.50,{"c":"<&>"}]},"big":12345678901234567890.10,"m~n":2,"x/y":1}`},
		{"add", "/a/b/-", "z", `{"a":{"b":[1,2.50,{"c":"<&>"},"z"]},"big":12345678901234567890.10,"m~n":2,"x/y":1}`},
		{"add", "/a/b/3", "z", `{"a":{"b":[1,2.50,{"c":"<&>"},"z"]},"big":12345678901234567890.10,"m~n":2,"x/y":1}`},
		{"add", "/new", true, `{"a":{"b":[1,2.50,{"c":"<&>"}]},"big":12345678901234567890.10,"m~n":2,"new":true,"x/y":1}`},
		{"add", "/big", json.Number("1"), `{"a":{"b":[1,2.50,{"c":"<&>"}]},"big":1,"m~n":2,"x/y":1}`},
		{"remove", "/a", nil, `{"big":12345678901234567890.10,"m~n":2,"x/y":1}`},
		{"remove", "/a/b/0", nil, `{"a":{"b":[2.50,{"c":"<&>"}]},"big":12345678901234567890.10,"m~n":2,"x/y":1}`},
		{"remove", "/x~1y", nil, `{"a":{"b":[1,2.50,{"c":"<&>"}]},"big":12345678901234567890.10,"m~n":2}`},
		{"replace", "/m~0n", "q", `{"a":{"b":[1,2.50,{"c":"<&>"}]},"big":12345678901234567890.10,"m~n":"q","x/y":1}`},
		{"remove", "/none/at/all", nil, `{"a":{"b":[1,2.50,{"c":"<&>"}]},"big":12345678901234567890.10,"m~n":2,"x/y":1}`},
		{"remove", "/a/b/7", nil, `{"a":{"b":[1,2.50,{"c":"<&>"}]},"big":12345678901234567890.10,"m~n":2,"x/y":1}`},
		{"remove", "/big/x", nil, `{"a":{"b":[1,2.50,{"c":"<&>"}]},"big":12345678901234567890.10,"m~n":2,"x/y":1}`},
		{"replace", "/none", 1, ""}, {"add", "/none/x", 1, ""}, {"add", "/a/b/4", 1, ""}, {"replace", "/a/b/3", 1, ""}, {"replace", "/a/b/-", 1, ""},
		{"replace", "/a/b/01", 1, ""}, {"replace", "/a/b/-1", 1, ""}, {"replace", "/a/b/x", 1, ""}, {"add", "/big/x", 1, ""},
	} {
		got, err := Patch(v, []policy.Patch{{Op: c.op, Path: c.path, Value: c.value}})
		if (err != nil) != (c.want == "") || string(got) != c.want {
			t.Errorf("%s %s: %s %v, want %s", c.op, c.path, got, err, c.want)
		}
	}
	if again, _ := JSON([]byte(body)); len(again.(map[string]any)["a"].(map[string]any)["b"].([]any)) != len(v.(map[string]any)["a"].(map[string]any)["b"].([]any)) {
		t.Error("what was edited is another now")
	}
	if got, err := Patch([]any{}, []policy.Patch{{Op: "add", Path: "/0", Value: "a"}, {Op: "add", Path: "/1", Value: "b"}}); err != nil || string(got) != `["a","b"]` {
		t.Errorf("%s %v", got, err)
	}
}
