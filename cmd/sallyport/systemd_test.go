package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
)

// Under systemd the control socket is the one that it hands over, and it is told of
// readiness, reloads, life and the end.
func TestSystemd(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "")
	s.stop()
	told := filepath.Join(filepath.Dir(s.control), "notify")
	boss, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: told, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer boss.Close()
	hears := func(want ...string) {
		t.Helper()
		for _, w := range want {
			for b := make([]byte, 1024); ; {
				_ = boss.SetReadDeadline(time.Now().Add(20 * time.Second))
				n, err := boss.Read(b)
				if err != nil {
					t.Fatalf("%s was not told: %v\n%s", w, err, s.b.out)
				}
				if strings.HasPrefix(string(b[:n]), w) {
					break
				}
				if w != "WATCHDOG=1" && !strings.HasPrefix(string(b[:n]), "WATCHDOG=1") {
					t.Errorf("%q was told before %s", b[:n], w)
				}
			}
		}
	}
	handed := func(path string) *background {
		t.Helper()
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		b := &background{t: t, out: &syncBuffer{}, dir: p.dir}
		b.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary, "serve", "-c", s.config)
		b.cmd.Dir, b.cmd.ExtraFiles = p.dir, []*os.File{f}
		b.cmd.Env = append(append([]string{}, p.env...), "LISTEN_FDS=1", "NOTIFY_SOCKET="+told, "WATCHDOG_USEC=600000")
		b.cmd.Stdout, b.cmd.Stderr = b.out, b.out
		b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := b.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.cmd.Process.Kill(); _ = b.cmd.Wait() })
		_, _ = l.Close(), f.Close()
		return b
	}
	s.b = handed(s.control)
	hears("READY=1")
	if st, err := admin.NewClient(s.control).Status(t.Context()); err != nil || !st.Ready {
		t.Errorf("%+v %v", st, err)
	}
	hears("WATCHDOG=1", "WATCHDOG=1")
	_ = s.b.cmd.Process.Signal(unix.SIGHUP)
	hears("RELOADING=1\nMONOTONIC_USEC=", "READY=1")
	_ = s.b.cmd.Process.Signal(unix.SIGTERM)
	hears("STOPPING=1")
	if err := s.b.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, s.b.out)
	}
	if _, err := os.Stat(s.control); err != nil {
		t.Errorf("the socket is systemd's: %v", err)
	}
	other := handed(filepath.Join(filepath.Dir(s.control), "other.sock"))
	_ = other.cmd.Wait()
	if want := fmt.Sprintf("systemd hands over unix %s", filepath.Join(filepath.Dir(s.control), "other.sock")); !strings.Contains(other.out.String(), want) || other.cmd.ProcessState.ExitCode() != 125 {
		t.Errorf("%d %s", other.cmd.ProcessState.ExitCode(), other.out)
	}
}
