package main

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"sallyport/policy/rego"
)

// The tests of a policy, by name, as text, JSON and JUnit, with the lines that
// none of them comes to.
func TestPolicyTest(t *testing.T) {
	dir := policyDir(t, map[string]string{
		"p.rego": "package egress\n\nallow if {\n\tinput.destination.host == \"a.example\"\n\tinput.request.method == \"GET\"\n}\n\ndeny contains \"no_admin\" if {\n\tinput.request.segments[0] == \"admin\"\n\tinput.request.method != \"GET\"\n}\n",
		"p_test.rego": `package egress_test

import data.sallyport

test_reads if {
	d := sallyport.egress.decision with input as {"destination": {"host": "a.example"}, "request": {"method": "GET"}}
	d.allow
}

test_table[name] if {
	some name, method in {"one": "GET", "two": "POST"}
	d := sallyport.egress.decision with input as {"destination": {"host": "a.example"}, "request": {"method": method}}
	d.allow
}

todo_test_later if {
	false
}
`,
	})
	out, _, code := beside(t, dir, "policy", "test", "--coverage", "policy")
	for _, want := range []string{"FAIL policy/p_test.rego:10: test_table\n  case two\n", "policy: 1 passed, 1 failed, 1 to do", "policy: 50.0 % covered, 3 of 6 lines", "no test comes to policy/p.rego:8-10"} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %q is not in\n%s", code, want, out)
		}
	}
	if strings.Contains(out, "sallyport/") || !strings.Contains(out, "Fail d.allow") {
		t.Errorf("what fails is not shown by itself:\n%s", out)
	}
	out, said, code := beside(t, dir, "policy", "test", "--run", "test_reads$", "--min", "99", "policy")
	if code != 1 || !strings.Contains(out, "1 passed, 0 failed") || !strings.Contains(said, "of the lines are covered, and --min is 99") {
		t.Errorf("exit code %d\n%s%s", code, out, said)
	}
	if out, said, code := beside(t, dir, "policy", "test", "--run", "test_reads$", "--min", "50", "policy"); code != 0 {
		t.Errorf("exit code %d\n%s%s", code, out, said)
	}
	if _, said, code := beside(t, dir, "policy", "test", "--run", "nothing", "policy"); code != 1 || !strings.Contains(said, "no test matches nothing") {
		t.Errorf("exit code %d\n%s", code, said)
	}
	out, _, code = beside(t, dir, "policy", "test", "--format", "json", "--coverage", "policy")
	var reports []rego.TestReport
	if err := json.Unmarshal([]byte(out), &reports); err != nil || code != 1 || len(reports) != 1 || len(reports[0].Tests) != 3 {
		t.Fatalf("%v, exit code %d\n%s", err, code, out)
	}
	if x := reports[0].Tests[1]; x.Name != "test_table" || x.Outcome != "fail" || strings.Join(x.Cases, ",") != "two" || x.Row != 10 || x.Detail == "" {
		t.Errorf("%+v", x)
	}
	if c := reports[0].Coverage; c == nil || c.Percent >= 100 || c.Percent <= 0 || len(c.Uncovered) != 1 || c.Uncovered[0].First != 8 {
		t.Errorf("%+v", c)
	}
	out, _, code = beside(t, dir, "policy", "test", "--format", "junit", "policy")
	var suites junitSuites
	if err := xml.Unmarshal([]byte(out), &suites); err != nil || code != 1 || len(suites.Suites) != 1 {
		t.Fatalf("%v, exit code %d\n%s", err, code, out)
	}
	s := suites.Suites[0]
	if s.Tests != 3 || s.Failures != 1 || s.Skipped != 1 || s.Cases[1].Failure == nil || s.Cases[0].Failure != nil || s.Cases[2].Skipped == nil || s.Cases[0].Class != "egress_test" || s.Cases[0].Line != 5 {
		t.Errorf("%s", out)
	}
	if _, said, code := beside(t, policyDir(t, map[string]string{"p.rego": "package egress\n\nallow if true\n"}), "policy", "test", "policy"); code != 1 || !strings.Contains(said, "there are no tests") {
		t.Errorf("a policy without tests: exit code %d, %s", code, said)
	}
}
