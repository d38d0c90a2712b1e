package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// calculates is a policy that a sandbox can give much to do.
const calculates = `package egress

allow if {
	sort(input.request.body.ns) == [1, 2, 3]
	regex.match("^(a|aa|a?)*(a+)+$", input.request.body.s)
	glob.match("*a*a*a*a*a*", [], input.request.body.s)
}

deny contains "texts" if sort(json.unmarshal(input.request.headers["x-list"][0]))[0] < 0
`

// hostile 141: bodies and fields that cost a policy much to calculate with are
// answered like any other.
func TestCalculationsAreBounded(t *testing.T) {
	tool(t, "python3", "python3")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		dir := filepath.Join(filepath.Dir(p.dir), "policy")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "p.rego"), []byte(calculates), 0o644); err != nil {
			t.Fatal(err)
		}
		out := p.python([]string{"--policy", dir, "--env", "U=" + p.https("api.example.com", "/")}, `
import os, time, urllib.request, urllib.error
def ask(name, ns, s, field="[0]"):
    body = ('{"ns": %s, "s": "%s"}' % (ns, s)).encode()
    assert len(body) <= 64 << 10
    began = time.monotonic()
    try:
        said = urllib.request.urlopen(urllib.request.Request(os.environ["U"], body, {"Content-Type": "application/json", "X-List": field}), timeout=60).status
    except urllib.error.HTTPError as e: said = e.read().decode().split(":")[1].strip()
    print(name, said, "SLOW" if time.monotonic() - began > 15 else "", flush=True)
def many(n, digits=""): return "[" + ",".join("%d%s%s" % (1 + i % 9, digits, n) for i in range(60000 // (len(n) + len(digits) + 2))) + "]"
ask("fine", "[3, 2, 1]", "aaaaa")
ask("exponents", many("e20000"), "a")
ask("fractions", many("e-20000"), "a")
ask("one", "[1e999999999]", "a")
ask("digits", many("", "9" * 200), "a")
ask("bounded", many("e99"), "a")
ask("depth", "[" * 30000 + "]" * 30000, "a")
ask("deep", "[" * 60 + "]" * 60, "a")
ask("regex", "[1, 2, 3]", "a" * 60000 + "b")
ask("glob", "[1, 2, 3]", "a" * 60000)
ask("field", "[3, 2, 1]", "a", "[" + "1e20000," * 900 + "1]")
ask("again", "[1, 3, 2]", "aaaaa")
`)
		want := "fine 200 \nexponents uncertain \nfractions uncertain \none uncertain \ndigits uncertain \nbounded default_deny \ndepth uncertain \ndeep default_deny \n" +
			"regex default_deny \nglob 200 \nfield policy_error \nagain 200 \n"
		if strings.ReplaceAll(out.stdout, "bounded policy_error", "bounded default_deny") != want { // or it took its time, and no more
			t.Errorf("%+v", out)
		}
		p.verified()
	})
}
