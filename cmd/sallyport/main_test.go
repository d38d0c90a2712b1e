package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/origin"
)

// binary is what the tests run: static, as it is shipped.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if binary = os.Getenv("SALLYPORT_TEST_BINARY"); binary != "" { // in a world
			return m.Run()
		}
		if signal.Ignored(syscall.SIGHUP) || signal.Ignored(syscall.SIGINT) || signal.Ignored(syscall.SIGQUIT) {
			// Begun in the background, or by nohup: what is started here must not inherit that.
			signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)
		}
		dir, err := os.MkdirTemp("", "sallyport-bin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		_ = os.Chmod(dir, 0o755)
		binary = filepath.Join(dir, "sallyport")
		if err := build(binary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		_ = os.Setenv("SALLYPORT_TEST_BINARY", binary)
		return m.Run()
	}())
}

// build makes the static binary, with what mutants passes on to the compiler.
func build(path string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-o", path}, strings.Fields(os.Getenv("SALLYPORT_BUILD_FLAGS"))...)
	cmd := exec.Command("go", append(append(args, flags...), ".")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s%w", out, err)
	}
	return nil
}

// tool fails a test that needs what is not there, with the line that installs it.
func tool(t testing.TB, name, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing: apt-get install -y %s", name, pkg)
	}
}

// A caller is who starts sallyport.
type caller struct {
	name string
	uid  int // 0 is whoever runs the tests
}

// callers are root and an ordinary user where the tests run as root, and the
// ordinary user alone elsewhere.
func callers() []caller {
	if os.Getuid() == 0 {
		return []caller{{"root", 0}, {"user", 12345}}
	}
	return []caller{{"user", 0}}
}

// A place is a directory to run in, an origin to reach, and a log.
type place struct {
	t      testing.TB
	who    caller
	dir    string // working directory
	log    string
	ca     string
	origin *origin.Origin
	env    []string
	stdin  string

	credentials string // of sidecars, beside their own
}

func newPlace(t testing.TB, who caller, o origin.Options) *place {
	t.Helper()
	g, err := origin.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	base, err := os.MkdirTemp("", "sallyport-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	p := &place{t: t, who: who, dir: filepath.Join(base, "work"), log: filepath.Join(base, "log"), ca: filepath.Join(base, "origin-ca.pem"), origin: g}
	_ = os.Chmod(base, 0o755)
	for _, d := range []string{p.dir, p.log, filepath.Join(base, "home")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if who.uid != 0 {
			if err := os.Chown(d, who.uid, who.uid); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(p.ca, g.CAPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	p.env = []string{"HOME=" + filepath.Join(base, "home"), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	return p
}

// An output is how a run ended.
type output struct {
	code           int
	stdout, stderr string
}

// exec runs sallyport with these arguments.
func (p *place) exec(args ...string) output {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	cmd.Stdin = strings.NewReader(p.stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if p.who.uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.who.uid), Gid: uint32(p.who.uid), Groups: []uint32{}}}
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		p.t.Fatalf("%v did not end:\n%s%s", args, stdout.String(), stderr.String())
	}
	if cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return output{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// run seals a command, with the origin behind these names.
func (p *place) run(flags []string, argv ...string) output {
	p.t.Helper()
	args := append([]string{"run", "--audit", p.log, "--allow-private", "127.0.0.0/8", "--upstream-ca", p.ca,
		"--resolve", "api.example.com=127.0.0.1", "--resolve", "other.example.com=127.0.0.1"}, flags...)
	return p.exec(append(append(args, "--"), argv...)...)
}

// sh is run of a shell script.
func (p *place) sh(flags []string, script string) output {
	p.t.Helper()
	return p.run(flags, "/bin/sh", "-c", script)
}

func (p *place) https(host, path string) string {
	return fmt.Sprintf("https://%s:%d%s", host, p.origin.TLSPort, path)
}

func (p *place) http(host, path string) string {
	return fmt.Sprintf("http://%s:%d%s", host, p.origin.PlainPort, path)
}

func (p *place) at(host string) string { return fmt.Sprintf("%s:%d", host, p.origin.TLSPort) }

// records returns the log.
func (p *place) records() (out []audit.Entry) {
	p.t.Helper()
	if err := audit.Tail(context.Background(), p.log, audit.TailOptions{}, func(e audit.Entry) error { out = append(out, e); return nil }); err != nil {
		p.t.Fatal(err)
	}
	return out
}

// find returns the records with these fields.
func (p *place) find(fields map[string]string) (out []audit.Entry) {
	p.t.Helper()
next:
	for _, e := range p.records() {
		for k, v := range fields {
			got := e.Str(k)
			if n, ok := e.Fields[k].(json.Number); ok {
				got = n.String()
			}
			if got != v {
				continue next
			}
		}
		out = append(out, e)
	}
	return out
}

// verified fails the test unless the log holds.
func (p *place) verified() {
	p.t.Helper()
	r, err := audit.Verify(p.log, audit.Expect{})
	if err != nil {
		p.t.Fatal(err)
	}
	if !r.OK() || !r.Closed {
		p.t.Fatal(r)
	}
}

// each runs a test for every caller.
func each(t *testing.T, o origin.Options, test func(*testing.T, *place)) {
	for _, who := range callers() {
		t.Run(who.name, func(t *testing.T) { test(t, newPlace(t, who, o)) })
	}
}

// A syncBuffer is written by one process and read by the test.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds p.
func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String returns all that was written.
func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
