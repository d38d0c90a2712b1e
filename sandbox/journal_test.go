package sandbox

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Over a restart an address means the name that it meant, and half a name, which
// nobody was told of, means nothing.
func TestOpenNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "names")
	n, err := OpenNames(file, 4)
	if err != nil {
		t.Fatal(err)
	}
	was := map[string]netip.Addr{}
	for _, h := range []string{"a.example", "b.example", "a.example"} {
		if was[h], err = n.Addr4(host(t, h)); err != nil {
			t.Fatal(err)
		}
	}
	_ = n.Close()
	if _, err := n.Addr4(host(t, "late.example")); err == nil {
		t.Error("a name that cannot be kept has an address")
	}
	text, _ := os.ReadFile(file)
	if err := os.WriteFile(file, append(text, "half.exam"...), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err = OpenNames(file, 4)
	if err != nil {
		t.Fatal(err)
	}
	for h, a := range was {
		if got, known, _ := n.Lookup(a); !known || got != host(t, h) {
			t.Errorf("%s is %s %v, and was %s", a, got, known, h)
		}
	}
	fresh, err := n.Addr4(host(t, "fresh.example"))
	if err != nil || fresh == was["a.example"] || fresh == was["b.example"] {
		t.Error(fresh, err)
	}
	_ = n.Close()
	if text, _ := os.ReadFile(file); string(text) != "a.example\nb.example\nfresh.example\n" {
		t.Errorf("%q", text)
	}
	for name, content := range map[string]string{"line 1": "not a name\n", "is there twice": "a.example\na.example\n", "line 5": "a\nb\nc\nd\ne\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenNames(file, 4); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", content, err)
		}
	}
}
