package sallyport_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport/metrics"
)

// sources are the Go files below some directories, without tests.
func sources(t *testing.T, dirs ...string) (out string) {
	t.Helper()
	n := 0
	for _, d := range dirs {
		files, err := filepath.Glob(filepath.Join(d, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			n++
			out += string(b)
		}
	}
	if n == 0 {
		t.Fatal("no source was read")
	}
	return out
}

// documented reports each name that a page does not have.
func documented(t *testing.T, page, text string, patterns ...string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range patterns {
		for _, m := range regexp.MustCompile(p).FindAllStringSubmatch(text, -1) {
			n++
			if !strings.Contains(string(b), "`"+m[1]+"`") {
				t.Errorf("%s does not have %s", page, m[1])
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d names were found", n)
	}
}

// codePatterns find the codes of refusals and outcomes in the source.
var codePatterns = []string{`refuse\([A-Za-z0-9.]+, "([a-z0-9_]+)"`, `(?:invalid|bad|fail)\("([a-z]+_[a-z_]+)"`, `&Error\{"([a-z_]+)"`, `Code: +"([a-z]+_[a-z_]+)"`, `Code[A-Z][A-Za-z]+ += "([a-z_]+)"`}

// Every code that a refusal can have is explained.
func TestRefusalsAreDocumented(t *testing.T) {
	documented(t, "docs/refusals.md", sources(t, "proxy", "proxy/h1", "proxy/canon", "credentials", "policy"), codePatterns...)
}

// Every field that a record can have, and every event, is explained.
func TestRecordsAreDocumented(t *testing.T) {
	text := sources(t, "audit")
	documented(t, "docs/records.md", text, `(?:c\.(?:str|strs|int|size|addr|tls)|e\.(?:Str|Int|Int64|Uint64|Array|Dict|RawJSON))\("([a-z@][a-z0-9_.@]+[a-z0-9])"`)
	documented(t, "docs/records.md", text, `Name = "(egress\.[a-z_.]+)"`)
}

// Every metric is explained, and every code of a refusal is a label.
func TestMetricsAreDocumented(t *testing.T) {
	documented(t, "docs/metrics.md", sources(t, "metrics"), `"(sallyport_[a-z_]+)"`)
	page, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	text := sources(t, "metrics")
	for _, m := range regexp.MustCompile("`(sallyport_[a-z_]+)`").FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(text, `"`+m[1]+`"`) {
			t.Errorf("docs/metrics.md has %s, which there is not", m[1])
		}
	}
}

func TestCodesAreLabels(t *testing.T) {
	known := metrics.Codes()
	text := sources(t, "proxy", "proxy/h1", "proxy/canon", "credentials", "policy")
	n := 0
	for _, p := range codePatterns {
		for _, m := range regexp.MustCompile(p).FindAllStringSubmatch(text, -1) {
			if n++; !slices.Contains(known, m[1]) {
				t.Errorf("%s is counted as other", m[1])
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d codes were found", n)
	}
	page, err := os.ReadFile("docs/refusals.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range known {
		if !strings.Contains(string(page), "`"+c+"`") {
			t.Errorf("%s is a label and no code", c)
		}
	}
}
