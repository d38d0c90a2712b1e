package main

import (
	"os"
	"strings"
	"testing"

	"sallyport/config"
)

// What the README shows is a configuration that is taken.
func TestReadmeConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```yaml\n")
	block, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("there is no configuration in it")
	}
	t.Setenv("GITHUB_TOKEN", "x-token-of-the-test")
	f, err := config.Parse("../../sallyport.yaml", []byte(block))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(t.Context(), "../../sallyport.yaml", f)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.policies) != 2 || len(p.names) != 1 {
		t.Errorf("%d policies, %d credentials", len(p.policies), len(p.names))
	}
}
