package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// The tour, as a newcomer meets it: with curl and without, and by a binary that
// was linked with cgo, which is what `go run` makes where there is a C compiler.
func TestDemo(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "gcc", "gcc")
	linked := filepath.Join(filepath.Dir(binary), "sallyport-cgo")
	build := exec.Command("go", "build", "-o", linked, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	static := binary
	t.Cleanup(func() { binary = static })
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		for name, b := range map[string]string{"static": static, "cgo": linked} {
			for _, path := range []string{"", "PATH=/nonexistent"} {
				env := p.env
				if path != "" {
					p.env = append(p.env[:len(p.env):len(p.env)], path)
				}
				binary = b
				out := p.exec("demo")
				p.env = env
				if out.code != 0 {
					t.Fatalf("%s %s: %+v", name, path, out)
				}
				for _, want := range []string{"there is no token here", "default_deny", "read_only: this sandbox may read, not write", `"Bearer [REDACTED:demo]"`,
					"1 allowed, 2 refused", "credential=demo", "intact: nothing was changed", "sallyport run --allow"} {
					if !strings.Contains(out.stdout+out.stderr, want) {
						t.Errorf("%s %s: %q is not in\n%s%s", name, path, want, out.stdout, out.stderr)
					}
				}
			}
		}
	})
}
