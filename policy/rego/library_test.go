package rego

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/policy"
)

// What a policy does not name of the library is not compiled, and what it names in
// any way is.
func TestLibraryIsBorrowed(t *testing.T) {
	host := "\nallow if lib.host_in({\"a.example.com\"})\n"
	for name, c := range map[string]struct {
		text string
		want []string // packages
	}{
		"nothing":       {"package egress\n\nallow if input.destination.port == 443\n", nil},
		"imported":      {"package egress\n\nimport data.sallyport.lib\n" + host, []string{"lib", "packs.metadata"}},
		"a function":    {"package egress\n\nimport data.sallyport.lib.host_in\n\nallow if host_in({\"a.example.com\"})\n", []string{"lib", "packs.metadata"}},
		"by its name":   {"package egress\n\nallow if data.sallyport.lib.host_in({\"a.example.com\"})\n", []string{"lib", "packs.metadata"}},
		"renamed":       {"package egress\n\nimport data.sallyport as s\n\nallow if s.packs.metadata.hosts[input.destination.host]\n", []string{"packs.metadata"}},
		"a document":    {"package egress\n\nimport data.sallyport.packs\n\nallow if packs[\"metadata\"].hosts[input.destination.host]\n", []string{"packs.metadata"}},
		"as a value":    {"package egress\n\nimport data.sallyport.packs.metadata\n\nallow if {\n\tx := metadata\n\tx.hosts[input.destination.host]\n}\n", []string{"packs.metadata"}},
		"from a helper": {"package egress\n\nallow if data.own.ok\n", []string{"lib", "packs.metadata"}},
	} {
		files := map[string]string{"p.rego": c.text}
		if name == "from a helper" {
			files["own.rego"] = "package own\n\nimport data.sallyport.lib\n\nok if lib.host_in({\"a.example.com\"})\n"
		}
		p, err := Load(t.Context(), Options{Name: "p", Dir: write(t, files)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for f, m := range p.compiler.Modules {
			pkg, ours := strings.CutPrefix(m.Package.Path.String(), "data.sallyport.")
			if first, _, _ := strings.Cut(pkg, "."); ours && !slices.Contains(packages(), "egress."+first) && first != "egress" && strings.HasPrefix(f, "sallyport:") {
				got = append(got, pkg)
			}
		}
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q is compiled, not %q", name, got, c.want)
		}
	}
}

// The digest is that of the rules with what they borrow, and of nothing else.
func TestLibraryDigest(t *testing.T) {
	text := "package egress\n\nallow if input.destination.port == 443\n"
	a := load(t, text)
	src, err := read(Options{Name: "p", Dir: write(t, map[string]string{"p.rego": text})})
	if err != nil || a.Digest() != src.digest {
		t.Errorf("%v: %s, not %s", err, a.Digest(), src.digest)
	}
	borrowing := "package egress\n\nimport data.sallyport.lib\n\nallow if lib.https\n"
	b := load(t, borrowing)
	if src, err = read(Options{Name: "p", Dir: write(t, map[string]string{"p.rego": borrowing})}); err != nil || b.Digest() == src.digest {
		t.Errorf("%v: what is borrowed is not in the digest", err)
	}
}

// Ten thousand hosts cost what ten do, looked for once or in several rules, whether
// they are there or not; and what is read of the input is no more than is named.
func TestLibraryIsFlat(t *testing.T) {
	steps := map[int][]int{}
	for _, n := range []int{10, 10_000} {
		hosts := map[string]any{}
		for i := range n {
			hosts[fmt.Sprintf("h%d.example.com", i)], hosts[fmt.Sprintf("*.d%d.example.org", i)] = true, true
		}
		p, err := Load(t.Context(), Options{Name: "p", Uncached: true, Deadline: time.Minute, Dir: write(t, map[string]string{"p.rego": "package egress\n\nimport data.sallyport.lib\n\nallow if {\n\tlib.host_in(data.hosts)\n\tlib.path_under(\"/\")\n}\n\ncredentials contains \"a\" if lib.host_in(data.hosts)\n\nreasons contains \"b\" if not lib.host_within(data.hosts)\n"}), Data: map[string]any{"hosts": hosts}})
		if err != nil {
			t.Fatal(err)
		}
		for host, want := range map[string]bool{"h3.example.com": true, "a.b.d3.example.org": true, "d3.example.org": false, "evilh3.example.com": false} {
			d := p.Decide(t.Context(), to(t, host))
			if d.Err != nil || d.Granted() != want {
				t.Errorf("%d hosts, %s: %+v", n, host, d)
			}
		}
		for _, host := range []string{"h3.example.com", "a.b.d3.example.org", "nothing.example.net"} {
			steps[n] = append(steps[n], p.Decide(t.Context(), to(t, host)).Steps)
		}
		for _, in := range [][]string{{"request", "headers"}, {"request", "body"}, {"request", "query"}, {"request", "segments"}, {"sandbox"}, {"destination", "port"}} {
			if p.Reads(policy.Request, in...) {
				t.Errorf("it reads %v", in)
			}
		}
	}
	if !slices.Equal(steps[10], steps[10_000]) || steps[10][0] > 60 {
		t.Errorf("%v", steps)
	}
}

// A helper that reads what a phase does not have is an error where it is used.
func TestLibraryInAnotherPhase(t *testing.T) {
	dir := write(t, map[string]string{"p.rego": "package egress.connect\n\nimport data.sallyport.lib\n\nallow if {\n\tinput.destination.port == 22\n\tlib.path_under(\"/v1\")\n}\n"})
	r := Inspect(t.Context(), dir)
	if len(r.Errors) != 1 || filepath.Base(r.Errors[0].File) != "p.rego" || r.Errors[0].Row != 7 || r.Errors[0].Message != "input.request is not in the input of phase connect, and data.sallyport.lib.path_under reads it" {
		t.Errorf("%+v", r.Errors)
	}
}

// The names of the library are nobody's else.
func TestLibraryIsReserved(t *testing.T) {
	dir := write(t, map[string]string{"p.rego": "package egress\n\nimport data.sallyport.lib\n\nallow if lib.https\n", "lib.rego": "package sallyport.lib\n\nhttps := true\n"})
	if _, err := Load(t.Context(), Options{Name: "p", Dir: dir}); err == nil || !strings.Contains(err.Error(), "is reserved") {
		t.Error(err)
	}
	if _, err := Load(t.Context(), Options{Name: "p", Dir: write(t, map[string]string{"p.rego": "package egress\n\nimport data.sallyport.lib\n\nallow if lib.https\n"}), Data: map[string]any{"sallyport": map[string]any{"lib": map[string]any{"https": true}}}}); err == nil {
		t.Error("data took the place of a rule")
	}
}

// hostile 433: an author's file that is called as one of the library does not take its
// place, which would leave its denials out.
func TestLibraryIsNobodysFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"sallyport/p.rego":              "package egress\n\nimport data.sallyport.packs.metadata\n\nallow if true\n\ndeny contains \"metadata\" if metadata.hosts[input.destination.host]\n\nreasons contains data.own.reason\n",
		"sallyport/packs/metadata.rego": "package own\n\nreason := \"own\"\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Load(t.Context(), Options{Name: "p", Dir: "sallyport"})
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Decide(t.Context(), to(t, "metadata.goog")); d.Err != nil || d.Granted() || !slices.Equal(d.Reasons, []string{"own"}) {
		t.Errorf("%+v", d)
	}
}
