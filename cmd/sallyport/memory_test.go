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

// counts is what the kernel has counted of it, for whoever reads why a test failed.
func (g *cgroup) counts() string {
	var b strings.Builder
	for _, name := range []string{"memory.events", "memory.current", "memory.swap.current", "memory.failcnt", "memory.usage_in_bytes", "memory.oom_control", "cgroup.procs"} {
		if text, err := os.ReadFile(filepath.Join(g.dir, name)); err == nil {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ", "))
		}
	}
	return b.String()
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
	var late *time.Timer
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
		late = time.AfterFunc(10*time.Second, func() { // a kernel that swaps, or chose another
			t.Logf("the kernel has not killed it; what it counts:\n%s", g.counts())
			_ = b.cmd.Process.Kill()
		})
	}
	_ = b.cmd.Wait()
	if late != nil {
		late.Stop()
	}
	if st, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGKILL {
		t.Errorf("it ended by %v\n%s", b.cmd.ProcessState, b.out)
	}
	for range 5 {
		if c := <-ends; strings.Contains(c.end, "CLEAN") {
			t.Errorf("%s ended as if it were whole: %s", c.name, c.end)
		}
	}
	p.env = append(p.env, "GOMEMLIMIT=1GiB") // says otherwise
	s.begin()
	_ = s.underWay(t, sock, roots)
	s.stop()
	s.outcomes(5)
}
