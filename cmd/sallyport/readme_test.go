package main

import (
	"testing"

	"sallyport/config"
)

// What the README shows is a configuration that is taken.
func TestReadmeConfiguration(t *testing.T) {
	t.Setenv("GITHUB_TOKEN", "x-token-of-the-test")
	f, err := config.Parse("../../sallyport.yaml", []byte(block(t, "../../README.md", "yaml", 0)))
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
