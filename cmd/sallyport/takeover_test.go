package main

import (
	"encoding/json"
	"errors"
	"fmt"
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
	"sallyport/proxy/leaf"
)

// as starts a command as a user, which ends with the test.
func as(t *testing.T, uid int, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid != os.Getuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), Groups: []uint32{}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// keyOf makes the CA of another instance, whose files are a user's.
func keyOf(t *testing.T, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sallyport-other")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o755)
	if _, err := leaf.Open(dir, leaf.Options{CommonName: "another", Lifetime: time.Hour}); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "ca.key")
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st, err)
	}
	if uid != os.Getuid() {
		if err := os.Chown(key, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

// segmentOf makes memory that processes of a user share, and returns its key.
func segmentOf(t *testing.T, uid int) string {
	t.Helper()
	key := int(time.Now().UnixNano()&0x3fffffff) + 1
	id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|unix.IPC_EXCL|0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	var d unix.SysvShmDesc
	_, err = unix.SysvShmCtl(id, unix.IPC_STAT, &d)
	d.Perm.Uid = uint32(uid)
	if _, e := unix.SysvShmCtl(id, unix.IPC_SET, &d); err != nil || e != nil {
		t.Fatal(err, e)
	}
	return fmt.Sprint(key)
}

// A way of starting serve.
type starting struct {
	name string
	who  caller
	user string // of the configuration
	uid  int    // what it comes to
}

func startings() []starting {
	if os.Getuid() != 0 {
		return []starting{{"user", caller{"user", 0}, "", os.Getuid()}}
	}
	return []starting{{"root as a user", caller{"root", 0}, "23456", 23456}, {"root", caller{"root", 0}, "", 0}, {"user", caller{"user", 12345}, "", 12345}}
}

func (s starting) more() string {
	if s.user == "" {
		return ""
	}
	return "user: \"" + s.user + "\"\n"
}

// anew starts the sidecar again, with another configuration.
func (s *side) anew(t *testing.T, edit func(string) string) {
	t.Helper()
	s.stop()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, []byte(edit(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	s.b = s.spawn(t, binary, "serve", "-c", s.config)
	for range 500 {
		if st, err := admin.NewClient(s.control).Status(t.Context()); err == nil && st.Ready {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the sidecar is not ready:\n%s", s.b.out)
}

// The process that parses hostile bytes, taken over, enters no namespace, opens no
// raw socket, reads no key of another instance, and looks into no other process:
// hostile 205 to 209. What it attempts does not fail by itself: a process of the
// same user that is not confined can do it.
func TestTakenOver(t *testing.T) {
	tool(t, "unshare", "util-linux")
	takenOver(t)
	for _, st := range startings() {
		t.Run(st.name, func(t *testing.T) {
			p := newPlace(t, st.who, origin.Options{})
			sock := filepath.Join(filepath.Dir(p.dir), "run", "taken.sock")
			p.env = append(p.env, "SALLYPORT_TAKEOVER="+sock)
			s := p.sidecar(t, st.more())
			starter := st.who.uid
			if starter == 0 {
				starter = os.Getuid()
			}
			bareSock := filepath.Join(filepath.Dir(p.dir), "home", "bare.sock")
			as(t, starter, []string{"SALLYPORT_TAKEOVER=bare:" + bareSock}, binary)
			in, bare := take(t, sock), take(t, bareSock)

			victim := as(t, st.uid, nil, "sleep", "300").Process.Pid
			boxed := as(t, starter, nil, "unshare", "-Urn", "sleep", "300").Process.Pid
			ns := fmt.Sprintf("/proc/%d/ns/net", boxed)
			own, err := os.Readlink("/proc/self/ns/net")
			for range 500 {
				if now, e := os.Readlink(ns); e == nil && now != own {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			nsFile, e2 := os.Open(ns)
			maps, e3 := os.ReadFile(fmt.Sprintf("/proc/%d/maps", victim))
			if err = errors.Join(err, e2, e3); err != nil {
				t.Fatal(err)
			}
			defer nsFile.Close()
			begin, _, _ := strings.Cut(string(maps), "-")
			mine, others := keyOf(t, st.uid), ""
			dir, err := os.MkdirTemp("", "sallyport-else")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			if err := errors.Join(os.Chmod(dir, 0o777), os.Mkdir(filepath.Join(dir, "mnt"), 0o755)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(filepath.Join(dir, "mnt"), unix.MNT_DETACH) })
			file := filepath.Join(dir, "file")
			if err := os.WriteFile(file, []byte("x"), 0o666); err != nil {
				t.Fatal(err)
			}
			if os.Getuid() == 0 {
				others = keyOf(t, 34567)
				_ = os.Chown(file, st.uid, -1)
			}
			shm, mode := segmentOf(t, st.uid), filepath.Join(filepath.Dir(p.dir), "state", "probe")
			if err := errors.Join(os.WriteFile(mode, nil, 0o600), os.Chown(mode, st.uid, -1)); err != nil {
				t.Fatal(err)
			}
			root := starter == 0
			pid := fmt.Sprint(victim)
			for _, c := range []struct {
				name  string
				fd    *os.File
				order []string
				want  syscall.Errno
				// Whether it succeeds for whoever started serve, when not confined.
				asRoot, asUser bool
			}{
				{"a namespace by its path", nil, []string{"setns", ns}, unix.EACCES, true, false},
				{"a namespace by a descriptor", nsFile, []string{"setns"}, unix.EPERM, true, false},
				{"a network namespace of its own", nil, []string{"unshare", "0x40000000"}, unix.EPERM, true, false},
				{"a call that makes no namespace", nil, []string{"unshare", "0"}, unix.EPERM, true, true},
				{"a child in a user namespace", nil, []string{"clone", "0x10000000"}, unix.EPERM, true, true},
				{"a child", nil, []string{"clone", "0"}, unix.EPERM, true, true},
				{"a program", nil, []string{"exec", "/bin/true"}, unix.EPERM, true, true},
				{"a mount", nil, []string{"mount", filepath.Join(dir, "mnt")}, unix.EPERM, true, false},
				{"a raw socket", nil, []string{"socket", "2", "3", "1"}, unix.EPERM, true, false},
				{"a raw socket of IPv6", nil, []string{"socket", "10", "3", "58"}, unix.EPERM, true, false},
				{"a packet socket", nil, []string{"socket", "17", "3", "768"}, unix.EPERM, true, false},
				{"the packet filter", nil, []string{"socket", "16", "3", "12"}, unix.EPERM, true, true},
				{"a socket of the hypervisor", nil, []string{"socket", "40", "1", "0"}, unix.EPERM, false, false},
				{"a trace", nil, []string{"ptrace", pid}, unix.EPERM, true, true},
				{"another's memory", nil, []string{"peek", pid, "0x" + begin}, unix.EPERM, true, true},
				{"another's descriptor", nil, []string{"getfd", pid}, unix.EPERM, true, true},
				{"another's environment", nil, []string{"read", "/proc/" + pid + "/environ"}, unix.EACCES, true, true},
				{"a signal", nil, []string{"kill", pid}, unix.EPERM, true, true},
				{"another's limits, which end it", nil, []string{"prlimit", pid}, unix.EPERM, false, true},
				{"another's priority", nil, []string{"nice", pid}, unix.EPERM, true, true},
				{"memory that the user's processes share", nil, []string{"shm", shm}, unix.EPERM, true, true},
				{"a file of the same user for everybody", nil, []string{"chmod", mine, "0600"}, unix.EPERM, true, true},
				{"its own configuration, set-user-ID", nil, []string{"fchmod", mode, "04755"}, unix.EPERM, true, true},
				{"a keyring", nil, []string{"keyctl"}, unix.EPERM, true, true},
				{"a personality", nil, []string{"personality"}, unix.EPERM, true, true},
				{"a ring", nil, []string{"uring"}, unix.ENOSYS, true, true},
				{"another user", nil, []string{"become", "34567"}, unix.EPERM, true, false},
				{"a file given away", nil, []string{"chown", file, "34567"}, unix.EPERM, true, false},
				{"another instance's key, of the same user", nil, []string{"read", mine}, unix.EACCES, true, true},
				{"another instance's key, of another user", nil, []string{"read", others}, unix.EACCES, true, false},
				{"a file elsewhere", nil, []string{"write", filepath.Join(dir, "new")}, unix.EACCES, true, true},
				{"passwords", nil, []string{"read", "/etc/shadow"}, unix.EACCES, true, false},
			} {
				if c.order[0] == "read" && c.order[1] == "" {
					continue // no other user's file can be made here
				}
				if got := in.try(c.fd, c.order...); got != c.want {
					t.Errorf("%s: %q (%d), want %q", c.name, got, got, c.want)
				}
				works := c.asRoot && root || c.asUser && !root
				if got := bare.try(c.fd, c.order...); works && got != 0 {
					t.Errorf("%s, when not confined: %q (%d): this shows nothing", c.name, got, got)
				}
			}
			// What it has to do it does.
			for name, order := range map[string][]string{
				"its configuration": {"read", s.config}, "its key": {"read", filepath.Join(filepath.Dir(p.dir), "state", "ca", "ca.key")}, "its log": {"write", filepath.Join(p.log, "probe")},
				"names": {"read", "/etc/hosts"}, "TCP": {"socket", "2", "1", "0"}, "UDP of IPv6": {"socket", "10", "0x80802", "17"}, "addresses of interfaces": {"socket", "16", "3", "0"},
			} {
				if got := in.try(nil, order...); got != 0 {
					t.Errorf("%s: %q", name, got)
				}
			}
			s.confinedAs(t, st)
			// The key of the same user is kept by Landlock, that of another by the user id:
			// here it may read both, by Landlock's word.
			s.anew(t, func(text string) string {
				return text + "confine: {read: [" + filepath.Dir(mine) + ", " + filepath.Dir(cmpOr(others, mine)) + "]}\n"
			})
			in = take(t, sock)
			if got := in.try(nil, "read", mine); got != 0 {
				t.Errorf("a key that confine.read names: %q", got)
			}
			if others != "" {
				if got := in.try(nil, "read", others); got != unix.EACCES {
					t.Errorf("another user's key that confine.read names: %q", got)
				}
			}
			s.stop()
		})
	}
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// confinedAs compares what status says with what the kernel says of the process.
func (s *side) confinedAs(t *testing.T, st starting) {
	t.Helper()
	out := s.exec("status", "--json", "--control", s.control)
	var status admin.Status
	if err := json.Unmarshal([]byte(out.stdout), &status); err != nil {
		t.Fatalf("%v: %+v", err, out)
	}
	c := status.Confinement
	caps := c.Capabilities
	if c.UID != st.uid || !c.NoNewPrivs || c.Seccomp != "filter" || c.Dumpable || !c.Landlock.Enforced || c.Landlock.ABI < 1 || c.Landlock.Reason != "" ||
		len(caps.Effective)+len(caps.Permitted)+len(caps.Inheritable)+len(caps.Ambient) != 0 || (len(c.Notes) == 0) == (st.uid == 0) {
		t.Errorf("%+v", c)
	}
	if os.Getuid() == 0 && st.who.uid == 0 && len(caps.Bounding) != 0 {
		t.Errorf("the bounding set is %v", caps.Bounding)
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.b.cmd.Process.Pid))
	if err != nil || len(tasks) < 2 {
		t.Fatal(tasks, err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
			fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", st.uid)} {
			if !strings.Contains(string(b), want+"\n") {
				t.Errorf("%s has no %q:\n%s", task, want, b)
			}
		}
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.b.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(b), "Max core file size        0                    0") {
		t.Errorf("%s %v", b, err)
	}
	if strings.Contains(s.b.out.String(), "it is root") != (st.uid == 0) {
		t.Errorf("what it says when it starts: %s", s.b.out)
	}
}
