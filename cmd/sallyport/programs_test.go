package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/origin"
)

// Beside a confined sidecar programs run that its configuration named at its start, as
// its user, without its environment; another needs a restart, and without the process that
// runs them nothing passes. Hostile 132, 443.
func TestPrograms(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		helper := p.secret(t, "helper", "#!/bin/sh\nread one; read two\nprintf 'username=x\\npassword=%s-%s-%s-%s\\n' \"$one\" \"$two\" $(id -u) \"$(env | grep -c TOKEN)\"\n")
		if err := os.Chmod(helper, 0o700); err != nil {
			t.Fatal(err)
		}
		s := p.sourced(t, fmt.Sprintf("{exec: {protocol: git, command: [%q, --quiet], life: 1s}}", helper))
		u := p.https("other.example.com", "/echo")
		code := func() string {
			t.Helper()
			return s.enrolled(nil, "curl -sS -o /dev/null -w '%{http_code}' "+u).stdout
		}
		uid := p.who.uid
		if uid == 0 {
			uid = os.Getuid()
		}
		if got, want := code(), fmt.Sprintf("protocol=https-host=%s-%d-0", p.at("other.example.com"), uid); got != "200" || len(p.arrived()) != 1 || p.arrived()[0] != want {
			t.Errorf("%s, %q arrived, not %q\n%s", got, p.arrived(), want, s.b.out)
		}
		broker := s.broker(t)
		env, err := os.ReadFile(broker + "/environ")
		if err != nil || strings.Contains(string(env), canary) {
			t.Errorf("the broker's environment is %q, %v", env, err)
		}
		// Another program needs a restart; the configuration before it stays.
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), "--quiet", "--loud", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		var out output
		for range 300 {
			if out = p.exec("status", "--control", s.control); strings.Contains(out.stdout, "restart") {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if !strings.Contains(out.stdout, "serve runs only programs that its configuration named at its start") {
			t.Errorf("%+v", out)
		}
		if got := code(); got != "200" {
			t.Error(got)
		}
		// Without the broker there is nothing, and nothing is sent.
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(broker), "%d", &pid); err != nil {
			t.Fatal(err)
		}
		end(t, pid)
		time.Sleep(time.Second) // of life
		n := len(p.arrived())
		if got := code(); got != "503" || len(p.arrived()) != n {
			t.Errorf("%s, %d arrived", got, len(p.arrived())-n)
		}
		if e := p.find(map[string]string{"error.type": "credential_unavailable"}); len(e) != 1 || !strings.Contains(string(e[0].Line), "restart serve") {
			t.Errorf("%v", e)
		}
		s.stop()
		s.begin()
		broker = s.broker(t)
		if got := code(); got != "200" {
			t.Errorf("after a restart: %s\n%s", got, s.b.out)
		}
		s.kill()
		for i := 0; ; i++ {
			if _, err := os.Stat(broker); err != nil {
				break
			}
			if i == 500 {
				t.Fatal("the broker outlives serve")
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// broker is the directory in /proc of what runs the programs of a sidecar.
func (s *side) broker(t *testing.T) string {
	t.Helper()
	pid := s.b.cmd.Process.Pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range strings.Fields(string(b)) {
		line, _ := os.ReadFile("/proc/" + c + "/cmdline")
		if strings.HasSuffix(string(line), "\x00broker\x00") {
			return "/proc/" + c
		}
	}
	t.Fatalf("there is no broker among %q", b)
	return ""
}

// end kills a process that the test started by way of another.
func end(t *testing.T, pid int) {
	t.Helper()
	x, err := os.FindProcess(pid)
	if err == nil {
		err = x.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}
