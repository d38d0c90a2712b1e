package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/origin/world"
	"sallyport/proxy/leaf"
	"sallyport/sandbox/netns"
)

// hostile 270: what a workload left where join writes as root when its container
// starts again.
func TestPlantedInAContainer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root writes for others")
	}
	if !world.Enter(t) {
		return
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	base := t.TempDir()
	world.Disk(t, filepath.Join(base, "over"), "8m")
	for _, d := range []string{"over/up", "over/work", "home", "elsewhere"} {
		must(os.MkdirAll(filepath.Join(base, d), 0o755))
	}
	must(unix.Mount("overlay", "/etc", "overlay", 0, fmt.Sprintf("lowerdir=/etc,upperdir=%[1]s/up,workdir=%[1]s/work", filepath.Join(base, "over"))))
	t.Cleanup(func() { _ = unix.Unmount("/etc", unix.MNT_DETACH) })
	world.Disk(t, "/run", "4m")
	world.Disk(t, "/dev/shm", "4m")
	issuer, err := leaf.New(leaf.Options{})
	must(err)
	ca := issuer.CAPEM()

	victim := filepath.Join(base, "elsewhere", "victim")
	const text = "of another user\n"
	plant := func(path string) {
		t.Helper()
		must(os.WriteFile(victim, []byte(text), 0o600))
		must(os.Chown(victim, 1001, 1001))
		_ = os.Remove(path)
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.Symlink(victim, path))
	}
	left := func() {
		t.Helper()
		if b, err := os.ReadFile(victim); err != nil || string(b) != text {
			t.Errorf("the victim is %q %v", b, err)
		}
	}
	t.Run("the resolver's file", func(t *testing.T) {
		plant("/etc/resolv.conf")
		must(setResolver())
		left()
		if b, err := os.ReadFile("/etc/resolv.conf"); err != nil || string(b) != netns.ResolvConf {
			t.Errorf("%q %v", b, err)
		}
		must(unix.Mount(victim, "/etc/resolv.conf", "", unix.MS_BIND, "")) // as container runtimes do
		must(setResolver())
		if b, _ := os.ReadFile(victim); string(b) != netns.ResolvConf {
			t.Errorf("what is mounted: %q", b)
		}
		must(unix.Unmount("/etc/resolv.conf", unix.MNT_DETACH))
	})
	t.Run("the system's certificates", func(t *testing.T) {
		for _, b := range netns.Bundles() {
			if strings.HasPrefix(b, "/etc/") {
				plant(b)
			}
		}
		at, err := installCA(ca, true, 0, 0)
		must(err)
		left()
		b, err := os.ReadFile(at.bundle)
		if err != nil || bytes.Contains(b, []byte("another user")) || !bytes.Contains(b, bytes.TrimSpace(ca)) {
			t.Errorf("%q %v", b, err)
		}
	})
	t.Run("a home", func(t *testing.T) {
		home := filepath.Join(base, "home")
		t.Setenv("HOME", home)
		must(os.Chown(home, 1000, 1000))
		must(os.Symlink(filepath.Join(base, "elsewhere"), filepath.Join(home, ".pki")))
		must(chromiumCA(ca, 1000, 1000))
		if es, err := os.ReadDir(filepath.Join(base, "elsewhere")); err != nil || len(es) != 1 {
			t.Errorf("%v %v", es, err)
		}
		must(os.Remove(filepath.Join(home, ".pki")))
		must(chromiumCA(ca, 1000, 1000))
		if st, err := os.Stat(filepath.Join(home, ".pki", "nssdb")); err != nil || st.Sys().(*syscall.Stat_t).Uid != 1000 {
			t.Errorf("%v", err)
		}
	})
	t.Run("the place of our files", func(t *testing.T) {
		must(os.RemoveAll("/run/sallyport"))
		must(os.Mkdir("/run/sallyport", 0o755))
		must(os.Chown("/run/sallyport", 1000, 1000))
		if dir, err := ownDir(); err != nil || dir != "/dev/shm/sallyport" {
			t.Errorf("%s %v", dir, err)
		}
	})
}
