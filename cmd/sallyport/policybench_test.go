package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// What a decision costs, new and made before, by policy and request.
func TestPolicyBench(t *testing.T) {
	dir := policyDir(t, map[string]string{"p.rego": "package egress\n\nallow if input.destination.host == \"api.example.com\"\n"})
	timed := policyDir(t, map[string]string{"p.rego": "package egress\n\nallow if time.now_ns() > 5\n"})
	args := []string{"policy", "bench", "--time", "20ms", "--url", "https://api.example.com/", "--url", "https://other.example/"}
	out, said, code := beside(t, dir, append(args, "--json", "policy", timed)...)
	var all []price
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 || len(all) != 4 {
		t.Fatalf("%v, exit code %d\n%s%s", err, code, out, said)
	}
	for i, want := range []string{"allow", "deny", "allow", "allow"} {
		p := all[i]
		if p.Decision != want || p.Steps == 0 || p.New.Nanoseconds <= 0 || p.New.Allocs < 1 || (p.Kept != nil) != (i < 2) {
			t.Errorf("%+v", p)
		}
		if p.Kept != nil && (p.Kept.Nanoseconds <= 0 || p.Kept.Nanoseconds*3 > p.New.Nanoseconds) {
			t.Errorf("made before: %v ns, new: %v ns", p.Kept.Nanoseconds, p.New.Nanoseconds)
		}
	}
	out, _, code = beside(t, dir, append(args, "policy", timed)...)
	if code != 0 || strings.Count(out, " µs") != 6 || strings.Count(out, "not kept") != 2 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if _, said, code := beside(t, dir, append(args, "--max-steps", "1", "policy")...); code != 1 || !strings.Contains(said, "and --max-steps is 1") {
		t.Errorf("exit code %d, %s", code, said)
	}
	if _, said, code := beside(t, dir, "policy", "bench", "--url", "nonsense", "policy"); code != codeFailed || !strings.Contains(said, "expected one such as") {
		t.Errorf("exit code %d, %s", code, said)
	}
}
