package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
	"sallyport/sandbox/netns"
)

// bare makes a network namespace that ends with its file.
func bare(t testing.TB) *os.File {
	t.Helper()
	var ns *os.File
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and thrown away with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ns, err = os.Open("/proc/thread-self/ns/net")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return ns
}

// inside does something in a namespace.
func inside(t testing.TB, ns *os.File, do func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and thrown away with the goroutine
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// talk sends what it is given from inside a namespace to an address at the port of
// the origin without TLS, and returns all that comes.
func (p *place) talk(t testing.TB, ns *os.File, addr, text string) string {
	t.Helper()
	var c net.Conn
	var err error
	inside(t, ns, func() {
		c, err = net.DialTimeout("tcp", net.JoinHostPort(addr, strconv.Itoa(p.origin.PlainPort)), 10*time.Second)
	})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, text)
	b, err := io.ReadAll(c)
	if err != nil {
		return string(b) + err.Error()
	}
	return string(b)
}

// A usage is what a process takes.
type usage struct{ fds, goroutines, rss, namespaces, kept int }

func (s *side) usage() (f usage) {
	s.t.Helper()
	pid := s.b.cmd.Process.Pid
	es, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		s.t.Fatal(err)
	}
	f.fds = len(es)
	for _, e := range es {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name())); strings.HasPrefix(to, "net:") {
			f.namespaces++
		}
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			f.rss, _ = strconv.Atoi(strings.Fields(v)[0])
		}
	}
	for line := range strings.Lines(s.metrics()) {
		if v, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			f.goroutines, _ = strconv.Atoi(strings.TrimSpace(v))
		}
	}
	left, _ := os.ReadDir(filepath.Join(filepath.Dir(s.config), "state", "ca", "sandboxes"))
	f.kept = len(left)
	return f
}

// metrics is what the sidecar counts.
func (s *side) metrics() string {
	s.t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.control)
	}, DisableKeepAlives: true}}
	resp, err := c.Get("http://sidecar/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&b); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

// A thousand sandboxes are created, used and revoked, and nothing is left.
func TestThousandSandboxes(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	runtime.LockOSThread() // a thread that ends would be usage for the sidecar's parent
	defer runtime.UnlockOSThread()
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "")
	client := admin.NewClient(s.control)
	const n = 1000
	get := fmt.Sprintf("GET /echo HTTP/1.1\r\nHost: api.example.com:%d\r\nConnection: close\r\n\r\n", p.origin.PlainPort)
	before := s.usage()
	type box struct {
		id string
		ns *os.File
		h  *holder
	}
	boxes := make([]box, 0, n)
	var create, seal, use time.Duration
	for i := range n {
		b := box{ns: bare(t)}
		began := time.Now()
		made, err := client.Create(t.Context(), admin.Create{Name: fmt.Sprintf("box-%04d", i), Way: "attach", Labels: map[string]string{"n": strconv.Itoa(i % 10)}})
		if err != nil {
			t.Fatal(err)
		}
		create += time.Since(began)
		began = time.Now()
		b.id = made.Sandbox.ID
		b.h = &holder{socket: made.Ticket.Socket, token: made.Ticket.Token}
		if b.h.socks, err = netns.Attach(b.ns); err != nil {
			t.Fatal(err)
		}
		if _, err := b.h.enrol(t.Context()); err != nil {
			t.Fatalf("%d: %v\n%s", i, err, s.b.out)
		}
		seal += time.Since(began)
		began = time.Now()
		if got := p.talk(t, b.ns, "198.51.100.7", get); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Fatalf("%d: %s", i, got)
		}
		use += time.Since(began)
		boxes = append(boxes, b)
	}
	during := s.usage()
	if all, err := client.List(t.Context(), map[string]string{"n": "3"}); err != nil || len(all) != n/10 {
		t.Errorf("%d have the label, %v", len(all), err)
	}
	began := time.Now()
	for i, b := range boxes {
		if i%2 == 0 { // half of them by command, half by the end of who holds them
			if err := client.Remove(t.Context(), b.id); err != nil {
				t.Fatal(err)
			}
			if got := p.talk(t, b.ns, "198.51.100.7", get); strings.HasPrefix(got, "HTTP/1.1 ") {
				t.Fatalf("%d is served though it was removed: %s", i, got)
			}
		}
		_ = b.h.conn.Close()
		b.h.socks.Close()
		_ = b.ns.Close()
		if i%2 != 0 {
			revoked := admin.Revoked
			if _, err := client.Change(t.Context(), b.id, admin.Patch{State: &revoked}); err != nil {
				t.Fatal(err)
			}
			if err := client.Remove(t.Context(), b.id); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := time.Since(began)
	var after usage
	for range 300 { // what was open ends by and by
		if after = s.usage(); after.fds <= before.fds+4 && after.goroutines <= before.goroutines+4 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("a create %v, sealing and enrolling %v, a first request %v, a removal %v; a sandbox takes %d KiB, %.1f descriptors, %.1f goroutines",
		create/n, seal/n, use/n, remove/n, (during.rss-before.rss)/n, float64(during.fds-before.fds)/n, float64(during.goroutines-before.goroutines)/n)
	if after.fds > before.fds+4 || after.goroutines > before.goroutines+4 || after.kept != 0 || after.namespaces != 0 {
		t.Errorf("left behind: before %+v, with all %+v, after %+v", before, during, after)
	}
	s.stop()
	if got := len(p.find(map[string]string{"event.name": "egress.request.decision", "sandbox.identity.method": "attach"})); got != n {
		t.Errorf("%d decisions are recorded", got)
	}
}
