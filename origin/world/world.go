// Package world gives a test a machine of its own to misuse: namespaces in which
// addresses, disks and files can be what the test needs.
package world

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inside is set in the environment of a test that runs in a world.
const inside = "SALLYPORT_TEST_WORLD"

// Enter reports whether the test runs in a world. If not it runs the test again
// in one, takes over how that ended, and the caller returns. Root gets network
// and mount namespaces; anybody else a user namespace around them, in which they
// keep their own id.
func Enter(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v", "-test.count=1", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		a := cmd.SysProcAttr
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		a.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE}
	}
	runtime.LockOSThread() // its end would be taken for the parent's
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s%v", out, err)
	} else if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("the test did not run in its world:\n%s", out)
	}
	return false
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Addresses brings lo up and gives it these, such as 10.0.0.1/32.
func Addresses(t testing.TB, prefixes ...string) {
	t.Helper()
	for _, args := range append([][]string{{"link", "set", "lo", "up"}}, addresses(prefixes)...) {
		if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s (apt-get install -y iproute2): %s%v", strings.Join(args, " "), out, err)
		}
	}
}

func addresses(prefixes []string) (out [][]string) {
	for _, p := range prefixes {
		out = append(out, []string{"addr", "add", p, "dev", "lo", "nodad"})
	}
	return out
}

// Disk mounts an empty disk of a size such as 192k at dir.
func Disk(t testing.TB, dir, size string) {
	t.Helper()
	private(t)
	must(t, os.MkdirAll(dir, 0o755))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=777"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// ReadOnly makes what is mounted at dir read-only.
func ReadOnly(t testing.TB, dir string) {
	t.Helper()
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
}

// File shows other content at path.
func File(t testing.TB, path, content string) {
	t.Helper()
	private(t)
	f, err := os.CreateTemp("", "world")
	must(t, err)
	t.Cleanup(func() { _ = os.Remove(f.Name()) })
	_, err = f.WriteString(content)
	must(t, err)
	must(t, f.Chmod(0o644))
	must(t, f.Close())
	must(t, unix.Mount(f.Name(), path, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
}

func private(t testing.TB) {
	t.Helper()
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
}
