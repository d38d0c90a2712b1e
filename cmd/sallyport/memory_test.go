package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/origin"
)

func TestMemoryOf(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"memory.max": "max\n", "a/memory.max": "300000000\n", "a/b/memory.max": "max\n", "a/c/memory.max": "200000000\n", "bad/memory.max": "many\n", "zero/memory.max": "0\n", "b/memory.max": "150000000\n", "b/c/memory.max": "400000000\n",
		"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/x/memory.limit_in_bytes": "100000000\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for self, want := range map[string]int64{
		"0::/\n":                        0,
		"0::/a\n":                       300000000,
		"0::/a/b\n":                     300000000, // of the one above
		"0::/a/c\n":                     200000000,
		"0::/a/gone/deeper\n":           300000000,
		"0::/b/c\n":                     150000000,
		"0::/bad\n":                     0,
		"0::/zero\n":                    0,
		"0::/../../a\n":                 300000000,
		"5:memory:/x\n0::/\n":           100000000,
		"5:memory:/x/y\n4:cpu:/a\n0::/": 100000000,
		"5:memory:/\n0::/a\n":           300000000,
		"":                              0,
		"nonsense\n":                    0,
	} {
		if got := memoryOf(root, self); got != want {
			t.Errorf("%q: %d, want %d", self, got, want)
		}
	}
}

// A cgroup is one of the test's own with a memory limit.
type cgroup struct{ dir string }

// newCgroup makes a cgroup, of whichever version has the memory controller here; nil
// where none can be made.
func newCgroup(t *testing.T, limit int64) *cgroup {
	t.Helper()
	self, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(self)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		parent, name := filepath.Join("/sys/fs/cgroup", f[2]), "memory.max"
		if f[1] == "memory" {
			parent, name = filepath.Join("/sys/fs/cgroup/memory", f[2]), "memory.limit_in_bytes"
		} else if f[1] != "" {
			continue
		}
		g := &cgroup{filepath.Join(parent, fmt.Sprintf("sallyport-test-%d", os.Getpid()))}
		if os.Mkdir(g.dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { // when what was in it is gone
			for range 100 {
				if os.Remove(g.dir) == nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		if os.WriteFile(filepath.Join(g.dir, name), []byte(strconv.FormatInt(limit, 10)), 0o644) == nil {
			return g
		}
	}
	return nil
}

// hostile 148: serve heeds the memory limit that it is under. When the kernel kills it
// for memory all the same, the log holds, and what begins again serves.
func TestOutOfMemory(t *testing.T) {
	tool(t, "python3", "python3")
	const limit = 256 << 20
	var uploaded atomic.Int64
	p := newPlace(t, callers()[0], origin.Options{Handler: slowly(&uploaded)})
	sock := filepath.Join(filepath.Dir(p.dir), "run", "proxy.sock")
	s := p.sidecar(t, fmt.Sprintf("sandboxes:\n  - {name: told, labels: {team: web}, props: {tenant: t-7}, policy: [web], explicit: {socket: %s, user: %d}}\n", sock, os.Getuid()))
	s.stop()
	g := newCgroup(t, limit)
	in := "exec"
	if g != nil {
		in = "echo $$ > " + g.dir + "/cgroup.procs && exec"
	}
	b := p.spawn(t, "/bin/sh", "-c", in+" "+binary+" serve -c "+s.config)
	s.b = b
	var roots *x509.CertPool
	for range 500 {
		if st, err := admin.NewClient(s.control).Status(t.Context()); err == nil && st.Ready {
			roots = x509.NewCertPool()
			roots.AppendCertsFromPEM([]byte(st.CA))
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if roots == nil {
		t.Fatalf("the sidecar is not ready:\n%s", b.out)
	}
	ends := s.underWay(t, sock, roots)
	if g == nil { // where no cgroup can be made its end is the same, without the kernel's part in it
		_ = b.cmd.Process.Kill()
	} else {
		if n := p.find(map[string]string{"event.name": "egress.lifecycle.start", "detail.memory_limit": strconv.Itoa(limit - limit/10)}); len(n) != 1 {
			t.Errorf("%d starts know of the limit", len(n))
		}
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", b.cmd.Process.Pid), []byte("1000"), 0o644); err != nil {
			t.Fatal(err)
		}
		hog := p.spawn(t, "/bin/sh", "-c", in+" /usr/bin/python3 -c 'import time; x = [bytearray(b\"x\") * (8 << 20) for _ in range(60)]; time.sleep(30)'")
		defer func() { _ = hog.cmd.Process.Kill() }()
	}
	done := make(chan error, 1)
	go func() { done <- b.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the kernel kills nobody")
	}
	if st, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGKILL {
		t.Errorf("it ended by %v\n%s", b.cmd.ProcessState, b.out)
	}
	for range 5 {
		if c := <-ends; strings.Contains(c.end, "CLEAN") {
			t.Errorf("%s ended as if it were whole: %s", c.name, c.end)
		}
	}
	t.Setenv("GOMEMLIMIT", "1GiB") // says otherwise
	p.env = append(p.env, "GOMEMLIMIT=1GiB")
	s.begin()
	_ = s.underWay(t, sock, roots)
	s.stop()
	s.outcomes(5)
	if n := limitMemory(); n != 0 {
		t.Errorf("GOMEMLIMIT is overruled: %d", n)
	}
}
