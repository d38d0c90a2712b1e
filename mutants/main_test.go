package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var row = regexp.MustCompile(`(?m)^\| (\d+) \|.*$`)

// Each guard is where the table says, and each row of the catalogue that has a
// test has a guard to take out.
func TestTable(t *testing.T) {
	if err := os.Chdir(".."); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join("docs", "threats.md"))
	if err != nil {
		t.Fatal(err)
	}
	guarded := map[int]bool{}
	for _, m := range mutants {
		if _, err := m.changed(); err != nil {
			t.Error(err)
		}
		for _, n := range m.threats {
			guarded[n] = true
		}
		if !slices.ContainsFunc(m.threats, func(n int) bool { return strings.Contains(string(b), "| "+strconv.Itoa(n)+" |") }) {
			t.Errorf("%s: its rows are not in the catalogue", m)
		}
	}
	for _, m := range row.FindAllStringSubmatch(string(b), -1) {
		if n, _ := strconv.Atoi(m[1]); !guarded[n] && strings.Contains(m[0], "`Test") {
			t.Errorf("no guard is taken out for row %d", n)
		}
	}
}
