package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/origin"
)

// The units of deploy/systemd are ones that systemd takes without a word, that expose
// little, and that allow every system call which serve makes.
func TestUnits(t *testing.T) {
	tool(t, "systemd-analyze", "systemd")
	tool(t, "strace", "strace")
	dir := t.TempDir()
	var unit string
	for _, name := range []string{"sallyport.service", "sallyport.socket"} {
		b, err := os.ReadFile("../../deploy/systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "/usr/local/bin/sallyport", binary)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".service") {
			unit = text
		}
	}
	service := filepath.Join(dir, "sallyport.service")
	if out, err := exec.Command("systemd-analyze", "verify", service, filepath.Join(dir, "sallyport.socket")).CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
		t.Errorf("%s%v", out, err)
	}
	if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", service).CombinedOutput(); err != nil {
		t.Errorf("%s%v", out, err)
	}
	allowed := map[string]bool{}
	for _, name := range strings.Fields(regexp.MustCompile(`(?m)^SystemCallFilter=(.*)$`).FindStringSubmatch(unit)[1]) {
		expand(t, name, allowed)
	}
	if len(allowed) < 200 {
		t.Fatalf("only %d calls are allowed", len(allowed))
	}
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	s := p.sidecar(t, "")
	s.stop()
	trace := filepath.Join(p.dir, "trace")
	s.b = p.spawn(t, "strace", "-D", "-f", "-qq", "-o", trace, binary, "serve", "-c", s.config)
	s.b.until(`"message":"ready"`)
	if out := s.enrolled([]string{"--label", "team=web", "--prop", "tenant=t-1", "--policy", "web"}, "curl -sS "+p.https("api.example.com", "/echo")); !strings.Contains(out.stdout, "t-1") {
		t.Errorf("%+v", out)
	}
	_ = s.b.cmd.Process.Signal(unix.SIGTERM)
	_ = s.b.cmd.Wait()
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(string(b), -1) {
		if !seen[m[1]] && !allowed[m[1]] {
			t.Errorf("serve calls %s, which the unit does not allow", m[1])
		}
		seen[m[1]] = true
	}
	if len(seen) < 40 || !seen["landlock_restrict_self"] {
		t.Errorf("only %d calls were seen", len(seen))
	}
}

// expand adds a call, or those of a set.
func expand(t *testing.T, name string, into map[string]bool) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		into[name] = true
		return
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", name).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, line := range strings.Split(string(out), "\n")[1:] {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			expand(t, line, into)
		}
	}
}
