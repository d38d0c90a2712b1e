package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/confine"
	"sallyport/origin"
)

// without is set in the environment of this program where it becomes another one,
// in a kernel that has no such call.
const without = "SALLYPORT_TEST_WITHOUT"

func init() {
	nr := map[string]uint32{"landlock": unix.SYS_LANDLOCK_CREATE_RULESET, "seccomp": unix.SYS_SECCOMP}[os.Getenv(without)]
	if nr == 0 {
		return
	}
	runtime.LockOSThread()
	f, err := confine.NewFilter()
	if err == nil {
		f.Refuse(unix.ENOSYS, nr)
		err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	if err == nil {
		err = f.Install(confine.ThisThread)
	}
	if err == nil {
		_ = os.Unsetenv(without)
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// In a kernel without Landlock serve starts, and says what is missing; without a
// system call filter it does not.
func TestWithoutLandlock(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	st := startings()[0]
	p := newPlace(t, st.who, origin.Options{})
	s := p.sidecar(t, st.more())
	s.stop()
	s.b = p.spawn(t, "env", without+"=landlock", self, binary, "serve", "-c", s.config)
	client := admin.NewClient(s.control)
	var now admin.Status
	until(t, "ready", func() bool { now, err = client.Status(t.Context()); return err == nil && now.Ready })
	const why = "Landlock is not in this kernel: function not implemented"
	c := now.Confinement
	if c.Landlock != (admin.Landlock{Reason: why}) || c.UID != st.uid || !c.NoNewPrivs || c.Seccomp != "filter" || c.Dumpable || len(c.Capabilities.Effective) != 0 {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(s.b.out.String(), why) || !strings.Contains(s.b.out.String(), "permissions alone say what serve may read and write") {
		t.Errorf("it does not say so: %s", s.b.out)
	}
	s.stop()
	b := p.spawn(t, "env", without+"=seccomp", self, binary, "serve", "-c", s.config)
	_ = b.cmd.Wait()
	if want := "serve cannot give up its privileges: seccomp: function not implemented"; b.cmd.ProcessState.ExitCode() != 125 || !strings.Contains(b.out.String(), want) {
		t.Errorf("%v %s", b.cmd.ProcessState, b.out)
	}
}
