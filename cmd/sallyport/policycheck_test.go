package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/policy/rego"
)

// policyDir writes a policy.
func policyDir(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "policy")
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// beside runs the binary beside a policy.
func beside(t testing.TB, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, said strings.Builder
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(dir), &out, &said
	err := cmd.Run()
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// Ten policies that are wrong: each is told of with its file, the line, what is
// wrong, and what to write instead.
func TestWrongPolicies(t *testing.T) {
	for _, c := range []struct{ name, text, at, wrong, line, advice string }{
		{"a typo in a field", "package egress\n\nallow if input.request.metod == \"GET\"\n", "3:10", "there is no input.request.metod (did you mean method?)", `allow if input.request.metod == "GET"`, "write input.request.method"},
		{"a prefix of a host", "package egress\n\nallow if startswith(input.destination.host, \"api.example.com\")\n", "3:10", "holds for api.example.com.evil.example too", `allow if startswith(`, "`input.destination.host == \"api.example.com\"`"},
		{"the network", "package egress\n\nallow if {\n\thttp.send({\"method\": \"get\", \"url\": \"http://x\"}).status_code == 200\n}\n", "4:2", "undefined function http.send", "http.send({", "a policy reaches no network"},
		{"recursion", "package egress\n\nallow if ok\n\nok if also\n\nalso if ok\n", "5:1", "rule data.egress.ok is recursive", "ok if also", "no rule may need itself"},
		{"headers that disagree", "package egress\n\nallow if input.destination.host == \"example.com\"\n\nset_headers contains {\"name\": \"X-Team\", \"value\": \"web\"} if input.destination.port == 443\n\nset_headers contains {\"name\": \"x-team\", \"value\": \"ops\"} if input.destination.port == 443\n", "7:1", "X-Team disagrees with policy/p.rego:5", `"value": "ops"`, "write one rule whose value depends on the condition"},
		{"a type", "package egress\n\nallow if input.destination.port == \"443\"\n", "3:10", "match error; left  : number; right : string", `port == "443"`, "without quotes: input.destination.port == 443"},
		{"a request at connect", "package egress.connect\n\nallow if {\n\tinput.destination.host == \"db.example.com\"\n\tinput.request.method == \"GET\"\n}\n", "5:2", "there is no input.request", `input.request.method`, "`package egress`, which has input.request"},
		{"a misspelt verb", "package egress\n\nallow if input.destination.host == \"example.com\"\n\ndney contains \"admin\" if input.request.segments[0] == \"admin\"\n", "5:1", "rule dney is no verb", "dney contains", "write `deny contains \"admin\" if input.request.segments[0] == \"admin\"`"},
		{"deny if", "package egress\n\nallow if input.destination.host == \"example.com\"\n\ndeny if input.request.segments[0] == \"admin\"\n", "5:1", "deny must be a set", "deny if", "write `deny contains \"a_code\" if input.request.segments[0] == \"admin\"`"},
		{"Rego v0", "package egress\n\nallow {\n\tinput.destination.host == \"example.com\"\n}\n", "3:1", "`if` keyword is required", "allow {", "write `allow if {`"},
		{"Rego v0, a set", "package egress\n\ndeny[msg] {\n\tmsg := \"x\"\n}\n", "3:1", "`contains` keyword is required", "deny[msg]", "write `deny contains msg if {`"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, _, code := beside(t, policyDir(t, map[string]string{"p.rego": c.text}), "policy", "check", "--strict", "policy")
			lines := strings.Split(out, "\n")
			row, col := 0, 0
			if _, err := fmt.Sscanf(c.at, "%d:%d", &row, &col); err != nil {
				t.Fatal(err)
			}
			if code != 1 || len(lines) < 4 || !strings.HasPrefix(lines[0], "policy/p.rego:"+c.at+": ") || !strings.Contains(lines[0], c.wrong) ||
				!strings.HasPrefix(lines[1], fmt.Sprintf("%5d | ", row)) || !strings.Contains(lines[1], c.line) || !strings.Contains(out, c.advice) {
				t.Errorf("exit code %d\n%s\nwant %s, %q, advice %q", code, out, c.at, c.wrong, c.advice)
			}
			source := strings.Split(c.text, "\n")[row-1]
			caret := strings.Index(lines[2], "^") - len("      | ")
			if want := col - 1 + 3*strings.Count(source[:col-1], "\t"); caret != want {
				t.Errorf("the caret is below column %d, want %d:\n%s", caret, want, out)
			}
		})
	}
}

// What compiles and is likely not meant, each with what to write instead, and the
// way that is right, of which nothing is said.
func TestWarnings(t *testing.T) {
	const hosts = `{"hosts": ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example", "g.example", "h.example", "i.example", "j.example", "k.example", "l.example", "m.example", "n.example", "o.example", "p.example", "q.example", "r.example", "s.example", "t.example"]}`
	allow := func(cond string) string { return "package egress\n\nallow if {\n\t" + cond + "\n}\n" }
	for _, c := range []struct{ text, warning, advice string }{
		{allow(`endswith(input.destination.host, "example.com")`), `holds for evilexample.com too`, "write `\"example.com\" in input.destination.host_suffixes`"},
		{allow(`endswith(input.destination.host, ".example.com")`), "", ""},
		{allow(`"example.com" in input.destination.host_suffixes`), "", ""},
		{allow("h := input.destination.host\n\tendswith(lower(h), \"example.com\")"), `holds for evilexample.com too`, "host_suffixes"},
		{allow(`below(input.destination.host)`) + "\nbelow(name) if endswith(name, \"example.com\")\n", `p.rego:7:16: warning: endswith(input.destination.host, "example.com")`, "host_suffixes"},
		{allow(`startswith(input.destination.host, "api.")`), `holds for api.evil.example too`, "input.destination.host == \"api.example.com\""},
		{allow(`contains(input.destination.host, "example.com")`), `holds for example.com.evil.example too`, "host_suffixes"},
		{allow("regex.match(`example\\.com$`, input.destination.host)"), `holds for evilexample.com too`, "begin the pattern with ^"},
		{allow("regex.match(`^example\\.com`, input.destination.host)"), `holds for example.com.evil.example too`, "begin the pattern with ^"},
		{allow("regex.match(`^api.example.com$`, input.destination.host)"), `any character in place of a dot`, `write dots as`},
		{allow(`glob.match("*example.com", ["."], input.destination.host)`), `holds for evilexample.com too`, "write `\"example.com\" in input.destination.host_suffixes`"},
		{allow(`input.destination.host == "API.example.com"`), `input.destination.host is never "API.example.com"`, `write "api.example.com"`},
		{allow(`input.destination.host == "https://api.example.com/"`), "is never", `write "api.example.com"`},
		{allow(`input.destination.host == "*.example.com"`), "is never", "there are no wildcards"},
		{allow(`input.destination.host in {"example.com:443"}`), "is never", "`input.destination.port == 443`"},
		{allow(`input.request.method == "get"`), "is never", `write "GET"`},
		{allow(`input.request.headers["X-Debug"][0] == "1"`), `is never there`, `input.request.headers["x-debug"]`},
		{allow("input.request.method == \"GET\"\n\tinput.request.method == \"HEAD\""), `input.request.method cannot be "GET" and "HEAD" at once`, "write two rules"},
		{allow("input.request.method == \"GET\"\n\tinput.request.method in {\"GET\", \"HEAD\"}"), "", ""},
		{"package egress\n\nallow if true\n\nallow if input.destination.port == 443\n", "rule data.egress.allow decides nothing: the one in line 3 always holds", "leave one"},
		{allow("true") + "\nset_headers contains {\"name\": \"X-A\", \"value\": \"1\"} if input.destination.port == 80\n\nremove_headers contains \"x-a\" if input.request.method == \"GET\"\n", "a request for which both hold is refused with header_conflict", "exclude each other"},
		{allow("true") + "\nset_headers contains {\"name\": \"X-A\", \"value\": \"1\"} if input.destination.port == 80\n\nremove_headers contains \"x-a\" if input.destination.port == 443\n", "", ""},
		{allow(`some h in data.hosts` + "\n\th == input.destination.host"), "each of the 20 elements of data.hosts: about 10 µs for a new request", "make data.hosts an object"},
		{allow(`some h in data.hosts` + "\n\tglob.match(h, [\".\"], input.destination.host)"), "each of the 20 elements of data.hosts: about 26 µs", "make data.hosts an object"},
		{allow(`lower(input.destination.host) == "example.com"`), "input.destination.host has one spelling here", "leave lower() out"},
		{allow(`regex.match("^/v[0-9]+/", input.request.path)`), "regex.match: about 1.3 µs for each such rule", "startswith(PATH"},
	} {
		out, _, code := beside(t, policyDir(t, map[string]string{"p.rego": c.text, "data.json": hosts}), "policy", "check", "policy")
		switch {
		case code != 0:
			t.Errorf("%s\nexit code %d\n%s", c.text, code, out)
		case c.warning == "" && strings.Contains(out, "warning"):
			t.Errorf("%s\n%s\nwant nothing", c.text, out)
		case !strings.Contains(out, c.warning) || !strings.Contains(out, c.advice):
			t.Errorf("%s\n%s\nwant %q, advice %q", c.text, out, c.warning, c.advice)
		}
		if strings.Contains(out, "__local") {
			t.Errorf("a name of the compiler's is shown:\n%s", out)
		}
	}
}

// What a policy reads and whether its decisions are kept.
func TestCheckReports(t *testing.T) {
	dir := policyDir(t, map[string]string{
		"p.rego":          "package egress\n\nallow if {\n\tinput.destination.host == \"a.example\"\n\tinput.request.headers.accept[0] == \"x\"\n}\n\nrequires_props contains \"tenant\"\n\ncredentials contains \"a\" if allow\n",
		"c.rego":          "package egress.connect\n\nallow if time.now_ns() > 5\n",
		"lib/unused.rego": "package lib\n\nspare(x) if x == 1\n",
	})
	out, _, code := beside(t, dir, "policy", "check", "--json", "policy")
	var got []rego.Report
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || len(got) != 1 {
		t.Fatalf("%v, exit code %d\n%s", err, code, out)
	}
	r := got[0]
	if !r.OK || len(r.Errors) != 0 || len(r.Phases) != 2 || strings.Join(r.Requires, ",") != "tenant" || strings.Join(r.Credentials, ",") != "a" {
		t.Fatalf("%+v", r)
	}
	if c := r.Phases[0]; c.Package != "egress.connect" || c.Cached || !strings.Contains(c.Uncached, "time.now_ns is asked for at policy/c.rego:3") {
		t.Errorf("%+v", c)
	}
	if e := r.Phases[1]; e.Package != "egress" || !e.Cached || e.Rules != 3 || strings.Join(e.Reads, " ") != "input.destination.host input.request.headers.accept[0]" {
		t.Errorf("%+v", e)
	}
	if len(r.Warnings) != 1 || r.Warnings[0].Code != "unreachable" || r.Warnings[0].Row != 3 || r.Warnings[0].Line == "" {
		t.Errorf("%+v", r.Warnings)
	}
	out, _, code = beside(t, policyDir(t, map[string]string{"p.rego": "package egress\n\nallow if {\n"}), "policy", "check", "--json", "policy")
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 || got[0].OK || len(got[0].Errors) == 0 || got[0].Errors[0].File != "policy/p.rego" {
		t.Errorf("%v, exit code %d\n%s", err, code, out)
	}
}
