package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The schemas that are printed and written, and what is said of a wrong name.
func TestPolicySchema(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	out, said, code := beside(t, dir, "policy", "schema", "egress.connect")
	var s map[string]any
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || s["title"] != "input of package egress.connect" {
		t.Errorf("exit code %d, %v\n%s%s", code, err, out, said)
	}
	if props, _ := s["properties"].(map[string]any); props["destination"] == nil || props["request"] != nil {
		t.Errorf("%v", props)
	}
	egress, _, _ := beside(t, dir, "policy", "schema")
	if out, said, code = beside(t, dir, "policy", "schema", "--write", "schema"); code != 0 || out != "" {
		t.Errorf("exit code %d\n%s%s", code, out, said)
	}
	for _, ph := range []string{"connect", "egress", "dns", "dial", "response", "message"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "schema", ph+".json"))
		if err != nil || ph == "egress" && string(b) != egress {
			t.Errorf("%s: %v", ph, err)
		}
	}
	for _, c := range [][]string{{"conect"}, {"egress", "--write", "schema"}} {
		if _, said, code := beside(t, dir, append([]string{"policy", "schema"}, c...)...); code != codeFailed || !strings.Contains(said, "expected one of connect, egress") && !strings.Contains(said, "leave egress out") {
			t.Errorf("%v: exit code %d, %s", c, code, said)
		}
	}
}
