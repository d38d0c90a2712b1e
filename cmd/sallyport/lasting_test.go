package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
)

// hostile 264: a signal is the workload's to heed. What lives on after it, to finish
// its work or because it reads its configuration again, has its network.
func TestSignalsEndNothing(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "unshare", "util-linux")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, (&side{place: p, config: filepath.Join(filepath.Dir(p.dir), "sallyport.yaml")}).agent(""))
		dir := filepath.Join(filepath.Dir(p.dir), "run", "agent")
		script := fmt.Sprintf(`until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }; trap 'echo heeded' TERM
			get() { curl -sS -m 5 --resolve api.example.com:%[2]d:198.51.100.7 %[1]s | grep -o 'Tenant-Id":."[^"]*' && echo $1; }; get first; until_file $0; get again; exit 7`,
			p.https("api.example.com", "/echo"), p.origin.TLSPort)
		joined := p.spawn(t, contained(p.who, "join", "--system-files", "no", "--enrol", dir, "--", "/bin/sh", "-c", script, "go1")...)
		run := p.spawn(t, binary, "run", "--sidecar", s.control, "--name", "box", "--label", "team=web", "--prop", "tenant=t-1", "--policy", "web", "--", "/bin/sh", "-c", script, "go2")
		for i, b := range []*background{joined, run} {
			b.until("first")
			pid := b.cmd.Process.Pid
			if b == joined {
				pid = descendants(pid)[0]
			}
			if err := unix.Kill(pid, unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			b.until("heeded")
			b.tell(fmt.Sprintf("go%d", i+1))
			_ = b.cmd.Wait()
			if code := b.cmd.ProcessState.ExitCode(); code != 7 || !strings.Contains(b.out.String(), "again\n") {
				t.Errorf("%d: %s", code, b.out)
			}
		}
		s.stop()
	})
}

// hostile 265: the directory that is mounted into a container stays the one that it
// is, over a restart of the sidecar in good order, and goes with the sandbox.
func TestEnrolDirectoryStays(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "unshare", "util-linux")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		out := p.exec("sandbox", "create", "made", "--label", "team=web", "--prop", "tenant=t-1", "--policy", "web", "--control", s.control)
		dir := strings.TrimSpace(out.stdout)
		if out.code != 0 || dir == "" {
			t.Fatalf("%+v", out)
		}
		args := []string{"unshare", "--net", "--pid", "--mount", "--fork", "--kill-child"}
		if p.who.uid != 0 || os.Getuid() != 0 {
			args = append(args, "--map-root-user")
		}
		b := p.spawn(t, append(args, "/bin/sh", "-c", `mount --bind $1 /mnt && exec "$0" join --system-files no --enrol /mnt -- /bin/sh -c "$2"`, binary, dir, fmt.Sprintf(
			`until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }; get() { curl -sS -m 20 --resolve api.example.com:%[2]d:198.51.100.7 %[1]s | grep -o 'Tenant-Id":."[^"]*' && echo $1; }; get first; until_file go; get again`,
			p.https("api.example.com", "/echo"), p.origin.TLSPort))...)
		b.until("first")
		s.stop()
		b.until("the sidecar is gone")
		s.begin()
		b.tell("go")
		b.until("again\n")
		_ = b.cmd.Wait()
		if err := admin.NewClient(s.control).Remove(t.Context(), "made"); err != nil {
			t.Fatal(err)
		}
		until(t, "its directory is gone", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
		s.stop()
	})
}

// hostile 269: a socket of the host's network that the process which starts a
// container left open.
func TestJoinHandsNothingOn(t *testing.T) {
	tool(t, "unshare", "util-linux")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, (&side{place: p, config: filepath.Join(filepath.Dir(p.dir), "sallyport.yaml")}).agent(""))
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out := make(chan string, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			b, _ := io.ReadAll(c)
			out <- string(b)
		}()
		args := append([]string{"bash", "-c", fmt.Sprintf(`exec 7<>/dev/tcp/127.0.0.1/%d; echo started >&7; exec "$@"`, l.Addr().(*net.TCPAddr).Port), "bash"},
			contained(p.who, "join", "--system-files", "no", "--enrol", filepath.Join(filepath.Dir(p.dir), "run", "agent"), "--", "bash", "-c", "echo out >&7; echo ran")...)
		b := p.spawn(t, args...)
		b.until("ran")
		_ = b.cmd.Wait()
		if got := <-out; got != "started\n" {
			t.Errorf("the host hears %q: %s", got, b.out)
		}
		s.stop()
	})
}

// hostile 271: nobody reads what is told, such as behind `| head -1`.
func TestHolderGoesOnUnheard(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "unshare", "util-linux")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, (&side{place: p, config: filepath.Join(filepath.Dir(p.dir), "sallyport.yaml")}).agent(""))
		script := fmt.Sprintf(`until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }; get() { curl -sS -m 20 --resolve api.example.com:%[2]d:198.51.100.7 %[1]s | grep -o 'Tenant-Id":."[^"]*' && echo $1; }; get first; until_file go; get again`,
			p.https("api.example.com", "/echo"), p.origin.TLSPort)
		b := p.spawn(t, append([]string{"bash", "-c", `exec "$@" 2> >(exec head -c 0)`, "bash"},
			contained(p.who, "join", "--system-files", "no", "--enrol", filepath.Join(filepath.Dir(p.dir), "run", "agent"), "--", "/bin/sh", "-c", script)...)...)
		b.until("first")
		s.kill()
		time.Sleep(500 * time.Millisecond)
		s.begin()
		b.tell("go")
		b.until("again")
		if err := b.cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, b.out)
		}
		s.stop()
	})
}

// A terminal can be standard input without being that of the session, as in a
// container that a supervisor starts.
func TestJoinOnATerminalOfOthers(t *testing.T) {
	tool(t, "unshare", "util-linux")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, (&side{place: p, config: filepath.Join(filepath.Dir(p.dir), "sallyport.yaml")}).agent(""))
		b := p.spawn(t, append([]string{"/usr/bin/python3", "-c", `import os, sys
if os.fork() == 0:
    os.setsid()
    m, s = os.openpty() # which is no terminal of a session's
    os.set_inheritable(m, True)
    os.dup2(s, 0)
    os.execvp(sys.argv[1], sys.argv[1:])
os.wait()`}, contained(p.who, "join", "--system-files", "no", "--enrol", filepath.Join(filepath.Dir(p.dir), "run", "agent"), "--", "/bin/sh", "-c", "[ -t 0 ] && echo ran")...)...)
		b.until("ran")
		_ = b.cmd.Wait()
		s.stop()
	})
}
