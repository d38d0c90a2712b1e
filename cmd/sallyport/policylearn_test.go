package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// What a run was seen to do is what the next may do, under a policy learnt of its log:
// requests, a connection carried unread, and nothing else.
func TestLearntPolicyRuns(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		if err := os.MkdirAll(filepath.Join(p.dir, "out"), 0o777); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(filepath.Join(p.dir, "out"), 0o777)
		raw := fmt.Sprintf("other.example.com:%d", p.origin.PlainPort)
		script := fmt.Sprintf("ask() { curl -sS -o /dev/null -w '%%{http_code}\\n' \"$@\"; }\nask %[1]s/v1/items/7; ask %[1]s/v1/items/8; ask -X POST -d a=b %[1]s/v1/items; ask %[2]s/plain; ask http://%[3]s/raw\n", p.https("api.example.com", ""), p.http("api.example.com", ""), raw)
		first := p.sh([]string{"--mode", "observe", "--tcp", raw}, script)
		if first.code != 0 || first.stdout != strings.Repeat("200\n", 5) {
			t.Fatalf("%+v", first)
		}
		said := p.exec("policy", "learn", "--out", "out/learnt", p.log)
		if said.code != 0 || !strings.Contains(said.stderr, "5 decisions asked again: 5 the same, 0 flips, 0 otherwise, 0 undecidable") {
			t.Fatalf("%+v", said)
		}
		printed := p.exec("policy", "learn", p.log)
		for _, name := range []string{"egress.rego", "connect.rego", "egress_test.rego", "lib/learnt.rego"} {
			b, err := os.ReadFile(filepath.Join(p.dir, "out/learnt", name))
			if err != nil || !strings.Contains(printed.stdout, "# "+name+"\n"+string(b)) {
				t.Errorf("%s: %v\n%s", name, err, printed.stdout)
			}
		}
		if again := p.exec("policy", "learn", "--out", "out/learnt", p.log); again.code != 2 || !strings.Contains(again.stderr, "is there already: nothing was written") {
			t.Errorf("%+v", again)
		}
		p.log = filepath.Join(p.log, "second")
		more := fmt.Sprintf("ask %[1]s/v1/items/12345; ask %[1]s/v1/others; ask -X DELETE %[1]s/v1/items/7; ask %[2]s/plain/x; ask %[3]s/v1/items/7\n", p.https("api.example.com", ""), p.http("api.example.com", ""), p.https("other.example.com", ""))
		second := p.sh([]string{"--policy", "out/learnt"}, script+more)
		if second.stdout != strings.Repeat("200\n", 6)+strings.Repeat("403\n", 4) {
			t.Errorf("%+v", second)
		}
		// Asked again of itself, that run has nothing that nobody knows.
		if out := p.exec("policy", "replay", "--policy", "out/learnt", "--fail-on", "change,undecidable", p.log); out.code != 0 || !strings.Contains(out.stdout, "10 decisions asked again") {
			t.Errorf("%+v", out)
		}
		for args, want := range map[string]string{
			"replay " + p.log: "--policy is missing",
			"replay --policy out/learnt --since yesterday " + p.log: `--since "yesterday": expected a time`,
			"replay --policy out/learnt /nowhere":                   "no such file",
			"replay --policy out/learnt --fail-on x " + p.log:       "expected change or undecidable",
			"learn --paths some " + p.log:                           "expected shape, exact or none",
			"learn --since 1ns " + p.log:                            "nothing that was allowed",
		} {
			if out := p.exec(append([]string{"policy"}, strings.Fields(args)...)...); out.code != 2 || !strings.Contains(out.stderr, want) {
				t.Errorf("%s: %+v, want %q", args, out, want)
			}
		}
	})
}

// Where paths like those that were allowed were refused, they are taken exactly.
func TestLearntPathsLikeRefusedOnes(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{})
	pol := policyDir(t, map[string]string{"p.rego": "package egress\n\nallow if input.request.path in {\"/v1/items/1\", \"/v1/items/2\"}\n"})
	u := p.https("api.example.com", "/v1/items/")
	if out := p.sh([]string{"--policy", pol}, fmt.Sprintf("for i in 1 2 3; do curl -sS -o /dev/null -w '%%{http_code}\\n' %s$i; done", u)); out.stdout != "200\n200\n403\n" {
		t.Fatalf("%+v", out)
	}
	out := p.exec("policy", "learn", p.log)
	if out.code != 0 || !strings.Contains(out.stdout, `input.request.path in {"/v1/items/1", "/v1/items/2"}`) || !strings.Contains(out.stderr, "paths of api.example.com are taken exactly") {
		t.Errorf("%+v", out)
	}
}
