// Package sallyport_test holds the conventions of the whole tree.
package sallyport_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type pkg struct {
	ImportPath, Dir, Name string
	Imports               []string
	GoFiles               []string
}

func packages(t *testing.T) (out []pkg) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Imports,GoFiles", "./...")
	b, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	for {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "sallyport"), "/")
		out = append(out, p)
	}
	if len(out) < 10 {
		t.Fatalf("only %d packages were found", len(out))
	}
	return out
}

// Who may import whom: the domain knows nothing of technologies, siblings know
// nothing of each other, only what is below cmd knows a configuration, and only the
// binary knows everything.
func TestImports(t *testing.T) {
	may := map[string][]string{
		"cmd/sidecar":      {"audit/ship", "admin", "audit", "cmd/terms", "cmd/words", "config", "confine", "credentials", "credentials/command", "credentials/systemd", "dest", "metrics", "policies", "policy", "policy/bundle", "policy/rego", "proxy", "proxy/dns", "proxy/leaf", "proxy/parent", "proxy/resolve", "sandbox", "sandbox/netns"},
		"cmd/terms":        {"audit/ship", "audit/ship/elastic", "audit/ship/file", "audit/ship/loki", "audit/ship/otlp", "audit/ship/post", "audit/ship/splunk", "audit/ship/syslog", "audit/ship/webhook", "admin", "config", "credentials", "credentials/age", "credentials/assertion", "credentials/aws", "credentials/command", "credentials/endpoint", "credentials/env", "credentials/file", "credentials/gcp", "credentials/github", "credentials/inherited", "credentials/oauth2", "credentials/systemd", "credentials/vault", "dest", "proxy", "proxy/parent", "proxy/resolve", "sandbox"},
		"cmd/words":        {},
		"dest":             {},
		"differ":           {}, // holds tests alone
		"docs/gateway":     {}, // an example for operators: nothing of ours is needed
		"audit":            {},
		"policies":         {},
		"config":           {},
		"confine":          {},
		"admin":            {},
		"metrics":          {"audit"},
		"origin":           {}, // a server for tests and the demo
		"origin/bundles":   {}, // bundles for tests
		"origin/calls":     {}, // a gRPC service for tests
		"origin/world":     {}, // namespaces for tests
		"sandbox":          {"dest"},
		"sandbox/netns":    {"confine"}, // takes and gives descriptors, and knows no sandbox's name
		"sandbox/trust":    {},
		"credentials":      {"dest"},
		"credentials/env":  {"credentials"},
		"credentials/file": {"credentials"},
		"policy":           {"dest", "sandbox"},
		"policy/learn":     {"audit", "policy", "policy/rego", "policy/replay"},
		"policy/replay":    {"audit", "dest", "policy", "policy/rego", "proxy/canon"},
		"policy/bundle":    {"dest"},
		"policy/rego":      {"dest", "policy", "policies"},
		"proxy":            {"audit", "credentials", "dest", "policy", "proxy/canon", "proxy/causes", "proxy/frames", "proxy/h1", "proxy/h2", "proxy/leaf", "proxy/parent", "proxy/records", "proxy/sniff", "proxy/socks", "proxy/views", "proxy/ws", "sandbox"},
		"proxy/canon":      {},
		"proxy/causes":     {},
		"proxy/frames":     {},
		"proxy/h1":         {"dest"},
		"proxy/h2":         {},
		"proxy/leaf":       {"dest"},
		"proxy/records":    {},
		"proxy/sniff":      {"dest"},
		"proxy/socks":      {"dest"},
		"proxy/dns":        {"dest"},
		"proxy/parent":     {"dest"},
		"proxy/resolve":    {"proxy/causes"}, // asks name servers, and knows nothing of who wants to know
		"proxy/views":      {"policy", "proxy/canon"},
		"proxy/ws":         {},

		"origin/tokens": {}, // a token server for tests

		"credentials/assertion": {"credentials"},
		"credentials/command":   {"credentials", "credentials/endpoint"},
		"credentials/endpoint":  {}, // asks servers, and knows no secret's name
		"credentials/age":       {"credentials"},
		"credentials/aws":       {"credentials", "credentials/endpoint"},
		"credentials/gcp":       {"credentials", "credentials/assertion", "credentials/endpoint"},
		"credentials/github":    {"credentials", "credentials/assertion", "credentials/endpoint"},
		"credentials/inherited": {"credentials"},
		"credentials/systemd":   {"credentials/file"}, // a credential of a service is a file
		"credentials/vault":     {"credentials", "credentials/endpoint"},
		"credentials/oauth2":    {"credentials", "credentials/assertion", "credentials/endpoint"},

		"audit/ship":         {"audit"},
		"audit/ship/elastic": {"audit/ship", "audit/ship/post"},
		"audit/ship/file":    {"audit/ship", "audit/ship/post"},
		"audit/ship/loki":    {"audit/ship", "audit/ship/post"},
		"audit/ship/otlp":    {"audit/ship", "audit/ship/post"},
		"audit/ship/post":    {"audit/ship"},
		"audit/ship/splunk":  {"audit/ship", "audit/ship/post"},
		"audit/ship/syslog":  {"audit/ship"},
		"audit/ship/webhook": {"audit/ship", "audit/ship/post"},
	}
	free := []string{"cmd/sallyport", "bench", "mutants", "origin/calls/caller"}
	foreign := map[string]string{ // what only some packages may know of
		"github.com/open-policy-agent/opa": "policy/rego origin/bundles",
		"github.com/elazarl/goproxy":       "proxy",
		"github.com/google/nftables":       "sandbox/netns",
		"github.com/vishvananda/netlink":   "sandbox/netns",
		"github.com/hashicorp/go-memdb":    "sandbox",
		"github.com/miekg/dns":             "proxy/dns proxy/resolve",
		"github.com/spf13/cobra":           "cmd/sallyport",
		"github.com/prometheus":            "metrics",
		"google.golang.org/grpc":           "origin/calls",
		"oras.land/oras-go":                "policy/bundle origin/bundles",
	}
	for _, p := range packages(t) {
		if slices.Contains(free, p.ImportPath) || p.ImportPath == "" {
			continue
		}
		allowed, known := may[p.ImportPath]
		if !known {
			t.Errorf("%s has no line in this test: say what it may import", p.ImportPath)
			continue
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, "sallyport/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s", p.ImportPath, ours)
			}
			for _, own := range []string{"cmd", "config"} {
				if (i == "sallyport/"+own || strings.HasPrefix(i, "sallyport/"+own+"/")) && !strings.HasPrefix(p.ImportPath, "cmd/") {
					t.Errorf("%s imports %s, which is for cmd alone", p.ImportPath, i)
				}
			}
			for f, owner := range foreign {
				if strings.HasPrefix(i, f) && !slices.Contains(strings.Fields(owner), p.ImportPath) {
					t.Errorf("%s imports %s, which is for %s alone", p.ImportPath, i, owner)
				}
			}
		}
	}
}

// goproxy is confined to one file.
func TestGoproxyIsConfined(t *testing.T) {
	n := 0
	for _, p := range packages(t) {
		for _, f := range p.GoFiles {
			b, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), `"github.com/elazarl/goproxy"`) {
				if n++; f != "goproxy.go" {
					t.Errorf("%s/%s imports goproxy", p.ImportPath, f)
				}
			}
		}
	}
	if n != 1 {
		t.Errorf("goproxy is imported by %d files", n)
	}
}

// What lends a secret's value is for sources alone.
func TestOnlySourcesReveal(t *testing.T) {
	n := 0
	for _, p := range packages(t) {
		for _, f := range p.GoFiles {
			b, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), "credentials.Reveal(") {
				if n++; !strings.HasPrefix(p.ImportPath, "credentials/") {
					t.Errorf("%s/%s reveals a secret", p.ImportPath, f)
				}
			}
		}
	}
	if n == 0 {
		t.Error("nothing reveals: the test looks for another name")
	}
}

// A package says in one comment what it owns, in the file that carries its name.
func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath == "" {
			continue
		}
		want := filepath.Base(p.ImportPath) + ".go"
		if p.Name == "main" {
			want = "main.go"
		}
		var with []string
		for _, f := range p.GoFiles {
			x, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if x.Doc != nil {
				with = append(with, f)
			}
		}
		if len(with) != 1 || with[0] != want {
			t.Errorf("%s: the package comment is in %v, and belongs into %s alone", p.ImportPath, with, want)
		}
	}
}

// A new direct dependency says why it is there.
func TestDependenciesSayWhy(t *testing.T) {
	b, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "\t") || strings.Contains(line, "// indirect") {
			continue
		}
		n++
		if _, why, ok := strings.Cut(line, "// "); !ok || len(strings.Fields(why)) < 1 {
			t.Errorf("no reason: %s", strings.TrimSpace(line))
		}
	}
	if n < 5 {
		t.Errorf("only %d direct dependencies were read", n)
	}
}

var (
	rowPattern  = regexp.MustCompile(`^\| (\d+) \|`)
	codePattern = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
)

// Each row of the catalogue names tests that exist, or says why there is none.
func TestThreats(t *testing.T) {
	b, err := os.ReadFile("docs/threats.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, p := range packages(t) {
		files, _ := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`).FindAllStringSubmatch(string(text), -1) {
				tests[m[1]] = true
			}
		}
	}
	rows := 0
	for line := range strings.Lines(string(b)) {
		if !rowPattern.MatchString(line) {
			continue
		}
		rows++
		names := codePattern.FindAllStringSubmatch(line, -1)
		if len(names) == 0 && !strings.Contains(line, "not yet:") && !strings.Contains(line, "no test:") {
			t.Errorf("no test and no reason: %s", strings.TrimSpace(line))
		}
		for _, m := range names {
			if !tests[m[1]] {
				t.Errorf("there is no %s: %s", m[1], strings.TrimSpace(line))
			}
		}
	}
	if rows < 50 {
		t.Errorf("only %d rows were read", rows)
	}
}
