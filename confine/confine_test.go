package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alone is set in the environment of a test that runs in a process of its own,
// in which what is given up is given up alone.
const (
	alone = "SALLYPORT_CONFINE_ALONE"
	place = "SALLYPORT_CONFINE_PLACE" // a directory for it
)

// inChild runs the test in a process of its own and reports whether this is it.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(alone) == t.Name() {
		runtime.LockOSThread()
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), alone+"="+t.Name(), place+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%s%v", out, err)
	}
	return false
}

// The filter refuses by itself, whatever capabilities there are: hostile 206, 207.
func TestFilterAlone(t *testing.T) {
	if !inChild(t) {
		return
	}
	call := func(nr uintptr, a ...uintptr) syscall.Errno {
		var x [6]uintptr
		copy(x[:], a)
		_, _, e := syscall.RawSyscall6(nr, x[0], x[1], x[2], x[3], x[4], x[5])
		return e
	}
	socket := func(a ...uintptr) syscall.Errno {
		fd, _, e := syscall.RawSyscall(unix.SYS_SOCKET, a[0], a[1], a[2])
		if e == 0 {
			_ = unix.Close(int(fd))
		}
		return e
	}
	none := ^uintptr(0)
	type attempt struct {
		name string
		do   func() syscall.Errno
		want syscall.Errno
	}
	var all []attempt
	for name, nr := range map[string]uintptr{
		"setns": unix.SYS_SETNS, "unshare": unix.SYS_UNSHARE, "mount": unix.SYS_MOUNT, "umount2": unix.SYS_UMOUNT2, "pivot_root": unix.SYS_PIVOT_ROOT, "chroot": unix.SYS_CHROOT, "open_tree": unix.SYS_OPEN_TREE, "move_mount": unix.SYS_MOVE_MOUNT,
		"fsopen": unix.SYS_FSOPEN, "fsconfig": unix.SYS_FSCONFIG, "fsmount": unix.SYS_FSMOUNT, "fspick": unix.SYS_FSPICK, "mount_setattr": unix.SYS_MOUNT_SETATTR, "ptrace": unix.SYS_PTRACE, "process_vm_readv": unix.SYS_PROCESS_VM_READV,
		"process_vm_writev": unix.SYS_PROCESS_VM_WRITEV, "kcmp": unix.SYS_KCMP, "pidfd_getfd": unix.SYS_PIDFD_GETFD, "name_to_handle_at": unix.SYS_NAME_TO_HANDLE_AT, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "bpf": unix.SYS_BPF,
		"perf_event_open": unix.SYS_PERF_EVENT_OPEN, "userfaultfd": unix.SYS_USERFAULTFD, "keyctl": unix.SYS_KEYCTL, "add_key": unix.SYS_ADD_KEY, "request_key": unix.SYS_REQUEST_KEY, "init_module": unix.SYS_INIT_MODULE,
		"fchmodat": unix.SYS_FCHMODAT, "fchmodat2": unix.SYS_FCHMODAT2, "fchownat": unix.SYS_FCHOWNAT, "setxattr": unix.SYS_SETXATTR, "shmat": unix.SYS_SHMAT, "setpriority": unix.SYS_SETPRIORITY, "prlimit64": unix.SYS_PRLIMIT64,
		"finit_module": unix.SYS_FINIT_MODULE, "delete_module": unix.SYS_DELETE_MODULE, "kexec_load": unix.SYS_KEXEC_LOAD, "reboot": unix.SYS_REBOOT, "acct": unix.SYS_ACCT, "personality": unix.SYS_PERSONALITY, "mknodat": unix.SYS_MKNODAT,
	} {
		all = append(all, attempt{name, func() syscall.Errno { return call(nr, none, none, none, none, none) }, unix.EPERM})
	}
	for _, f := range []uintptr{unix.CLONE_NEWNS, unix.CLONE_NEWCGROUP, unix.CLONE_NEWUTS, unix.CLONE_NEWIPC, unix.CLONE_NEWUSER, unix.CLONE_NEWPID, unix.CLONE_NEWNET} {
		// With CLONE_THREAD alone, which needs others beside it, nothing is made when it is let through.
		all = append(all, attempt{fmt.Sprintf("clone %#x", f), func() syscall.Errno { return call(unix.SYS_CLONE, f|unix.CLONE_THREAD) }, unix.EPERM})
	}
	all = append(all,
		attempt{"clone", func() syscall.Errno { return call(unix.SYS_CLONE, unix.CLONE_THREAD) }, unix.EINVAL},
		attempt{"clone3", func() syscall.Errno { return call(unix.SYS_CLONE3, 0, 0) }, unix.ENOSYS},
		attempt{"io_uring_setup", func() syscall.Errno { return call(unix.SYS_IO_URING_SETUP, 0, 0) }, unix.ENOSYS},
		attempt{"TIOCSTI", func() syscall.Errno { return call(unix.SYS_IOCTL, none, unix.TIOCSTI) }, unix.EPERM},
		attempt{"TIOCLINUX", func() syscall.Errno { return call(unix.SYS_IOCTL, none, unix.TIOCLINUX) }, unix.EPERM},
		attempt{"its own limits", func() syscall.Errno { return call(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CPU) }, 0},
		attempt{"a mode", func() syscall.Errno { return call(unix.SYS_FCHMOD, none, 0o644) }, unix.EBADF},
		attempt{"a set-user-ID mode", func() syscall.Errno { return call(unix.SYS_FCHMOD, none, 0o4755) }, unix.EPERM},
		attempt{"another ioctl", func() syscall.Errno { return call(unix.SYS_IOCTL, none, unix.TIOCGWINSZ) }, unix.EBADF})
	for _, c := range []struct {
		family, typ, protocol uintptr
		want                  syscall.Errno
	}{
		{unix.AF_UNIX, unix.SOCK_STREAM, 0, 0}, {unix.AF_UNIX, unix.SOCK_SEQPACKET, 0, 0},
		{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, 0, 0}, {unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_TCP, 0}, {unix.AF_INET, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0, 0}, {unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP, 0},
		{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE, 0},
		{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP, unix.EPERM}, {unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_RAW, unix.EPERM}, {unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP, unix.EPERM}, {unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP, unix.EPERM},
		{unix.AF_INET, unix.SOCK_SEQPACKET, 0, unix.EPERM}, {unix.AF_INET, unix.SOCK_PACKET, 0, unix.EPERM}, {unix.AF_PACKET, unix.SOCK_RAW, 768, unix.EPERM}, {unix.AF_PACKET, unix.SOCK_DGRAM, 0, unix.EPERM}, {unix.AF_VSOCK, unix.SOCK_STREAM, 0, unix.EPERM},
		{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER, unix.EPERM}, {unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_KOBJECT_UEVENT, unix.EPERM}, {unix.AF_ALG, unix.SOCK_SEQPACKET, 0, unix.EPERM}, {unix.AF_KEY, unix.SOCK_RAW, 2, unix.EPERM},
		{unix.AF_BLUETOOTH, unix.SOCK_RAW, 1, unix.EPERM}, {unix.AF_XDP, unix.SOCK_RAW, 0, unix.EPERM}, {0, 0, 0, unix.EPERM},
	} {
		all = append(all, attempt{fmt.Sprintf("socket %d %d %d", c.family, c.typ, c.protocol), func() syscall.Errno { return socket(c.family, c.typ, c.protocol) }, c.want})
	}
	pair := func(family uintptr) func() syscall.Errno {
		return func() syscall.Errno {
			var fds [2]int32
			_, _, e := syscall.RawSyscall6(unix.SYS_SOCKETPAIR, family, unix.SOCK_STREAM, 0, uintptr(unsafe.Pointer(&fds)), 0, 0)
			return e
		}
	}
	all = append(all, attempt{"a pair", pair(unix.AF_UNIX), 0}, attempt{"a pair of another family", pair(unix.AF_TIPC), unix.EPERM})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	f, err := sidecarFilter()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Install(ThisThread); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if got := a.do(); got != a.want {
			t.Errorf("%s: %q (%d), want %q", a.name, got, got, a.want)
		}
	}
	for _, nr := range refused { // none is misspelt
		if nr == 0 {
			t.Error("read is refused")
		}
	}
}

// Behind the start there is no other program and no other process, on any thread.
func TestSettledFilterAlone(t *testing.T) {
	if !inChild(t) {
		return
	}
	if err := exec.Command("/bin/true").Run(); err != nil {
		t.Fatal(err)
	}
	if err := DropCapabilities(ThisThread); err != nil {
		t.Fatal(err)
	}
	f, err := settledFilter()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Install(AllThreads); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- exec.Command("/bin/true").Run() }()
	if err := <-done; !errors.Is(err, unix.EPERM) {
		t.Errorf("a program: %v", err)
	}
	if err := syscall.Exec("/bin/true", []string{"true"}, nil); !errors.Is(err, unix.EPERM) {
		t.Errorf("to become a program: %v", err)
	}
	many := make(chan int)
	for range 50 { // threads are as ever
		go func() { runtime.LockOSThread(); many <- unix.Gettid() }()
	}
	seen := map[int]bool{}
	for range 50 {
		seen[<-many] = true
	}
	if len(seen) < 2 {
		t.Error("there are no threads")
	}
	st, err := Read()
	if err != nil || !st.NoNewPrivs || st.Seccomp != "filter" {
		t.Errorf("%+v %v", st, err)
	}
	own, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"Inh", "Prm", "Eff", "Amb"} {
		if !strings.Contains(string(own), "Cap"+set+":\t0000000000000000\n") {
			t.Errorf("capabilities are left: %s", own)
		}
	}
}

// What is left of the file system is what is named, with what is below, and the
// root never: hostile 208.
func TestLandlockAlone(t *testing.T) {
	if !inChild(t) {
		return
	}
	dir := os.Getenv(place)
	for _, d := range []string{"read", "write", "sockets", "other"} {
		if err := errors.Join(os.MkdirAll(dir+"/"+d+"/below", 0o755), os.WriteFile(dir+"/"+d+"/below/file", []byte("x"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir+"/other/below/file", dir+"/read/link"); err != nil {
		t.Fatal(err)
	}
	rules, err := Files{Read: []string{dir + "/read", dir + "/missing", "/"}, Write: []string{dir + "/write"}, Sockets: []string{dir + "/sockets"}}.ruleset(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := rules.enforce(); err != nil {
		t.Fatal(err)
	}
	open := func(path string, flags int) error {
		fd, err := unix.Open(dir+path, flags, 0o600)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
	bind := func(path string) error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		return unix.Bind(fd, &unix.SockaddrUnix{Name: dir + path})
	}
	for name, c := range map[string]struct{ got, want error }{
		"read":                {open("/read/below/file", unix.O_RDONLY), nil},
		"list":                {open("/read", unix.O_RDONLY), nil},
		"write what is read":  {open("/read/below/file", unix.O_WRONLY), unix.EACCES},
		"make where is read":  {open("/read/new", unix.O_CREAT|unix.O_WRONLY), unix.EACCES},
		"through a link":      {open("/read/link", unix.O_RDONLY), unix.EACCES},
		"elsewhere":           {open("/other/below/file", unix.O_RDONLY), unix.EACCES},
		"above":               {open("", unix.O_RDONLY), unix.EACCES},
		"write":               {open("/write/below/file", unix.O_RDWR|unix.O_TRUNC), nil},
		"make":                {open("/write/new", unix.O_CREAT|unix.O_WRONLY), nil},
		"rename":              {os.Rename(dir+"/write/new", dir+"/write/below/new"), nil},
		"remove":              {os.Remove(dir + "/write/below/new"), nil},
		"a link there":        {os.Symlink("/etc/shadow", dir+"/write/link"), unix.EACCES},
		"a socket":            {bind("/sockets/s"), nil},
		"a directory for one": {os.Mkdir(dir+"/sockets/enrol", 0o700), nil},
		"a socket elsewhere":  {bind("/read/s"), unix.EACCES},
		"a file of sockets":   {open("/sockets/below/file", unix.O_RDONLY), unix.EACCES},
		"a file beside":       {open("/sockets/new", unix.O_CREAT|unix.O_WRONLY), unix.EACCES},
		"a program":           {syscall.Exec("/bin/true", []string{"true"}, nil), unix.EACCES},
		"another process":     {unix.Kill(os.Getppid(), 0), unix.EPERM},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if !withheldRoot() {
		t.Error("it is not seen to be in force")
	}
	c := &Confined{files: Files{Write: []string{dir + "/write"}, Sockets: []string{dir + "/sockets"}}}
	if err := c.WithheldFile(dir + "/other/below/file"); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("a file outside: %v", err)
	}
	for _, p := range []string{"/read/below/file", "/read", "/missing"} {
		if err := c.WithheldFile(dir + p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	for _, err := range []error{c.WithheldSocket(dir + "/sockets/below"), c.WithheldSocket(dir + "/write"), c.WithheldDirectory(dir + "/write/x/y"), (*Confined)(nil).WithheldDirectory("/x")} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := c.WithheldDirectory(dir + "/sockets"); err == nil {
		t.Error("files where only sockets are made")
	}
	for _, p := range []string{"/socketsother", "/", "/sockets/../other"} {
		if err := c.WithheldSocket(dir + p); err == nil {
			t.Errorf("a socket in %s", p)
		}
	}
}

// Rights that a kernel does not know are not asked for.
func TestHandled(t *testing.T) {
	for abi, want := range map[int]uint64{1: 1<<13 - 1, 2: 1<<14 - 1, 3: 1<<15 - 1, 4: 1<<15 - 1, 5: 1<<16 - 1, 9: 1<<16 - 1} {
		if got := handled(abi); got != want {
			t.Errorf("ABI %d: %#x", abi, got)
		}
	}
	for notify, want := range map[string]uint64{"": 3, "/run/systemd/notify": 3, "@/org/freedesktop/systemd1/notify": 2} {
		if got := scoped(6, notify); got != want || scoped(5, notify) != 0 {
			t.Errorf("with %q %d is scoped", notify, got)
		}
	}
}

func TestLookUp(t *testing.T) {
	const passwd = "root:x:0:0::/root:/bin/sh\n# a comment\nbroken:x:many:1::\ngate:x:997:996::/:/sbin/nologin\n1234:x:55:55::/:\ntoor:x:0:0::/:\nlast:x:4294967295:1::/:\n"
	const group = "root:x:0:\ngate:x:996:gate\nsecrets:x:40:other,gate\nothers:x:41:other,gateway\nbroken\n"
	for who, want := range map[string]*Account{
		"gate":  {Name: "gate", UID: 997, GID: 996, Groups: []int{40}},
		"997":   {Name: "gate", UID: 997, GID: 996, Groups: []int{40}},
		"12345": {UID: 12345, GID: 12345},
		"1234":  {Name: "1234", UID: 55, GID: 55}, // a name is a name
	} {
		a, err := lookUp(who, strings.NewReader(passwd), strings.NewReader(group))
		if err != nil || !reflect.DeepEqual(a, want) {
			t.Errorf("%s is %+v, %v", who, a, err)
		}
	}
	for who, want := range map[string]string{"root": "is root", "0": "is root", "toor": "is root", "nobody-here": "there is no user", "broken": "there is no user", "-1": "there is no user", "4294967295": "there is no user", "last": "there is no user", "": "there is no user"} {
		if a, err := lookUp(who, strings.NewReader(passwd), strings.NewReader(group)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %+v, %v", who, a, err)
		}
	}
	if a, err := LookUp("nobody"); err != nil || a.UID != 65534 {
		t.Errorf("%+v %v", a, err)
	}
}

// Of several threads the status is the most that any may.
func TestStatusIsOfAllThreads(t *testing.T) {
	const clean = "Uid:\t5\t5\t5\t5\nGid:\t6\t6\t6\t6\nGroups:\t7 8 \nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n"
	for text, ok := range map[string]bool{
		clean: true,
		strings.Replace(clean, "CapEff:\t0", "CapEff:\t200000", 1):        false,
		strings.Replace(clean, "CapPrm:\t0", "CapPrm:\t1", 1):             false,
		strings.Replace(clean, "CapInh:\t0", "CapInh:\t1", 1):             false,
		strings.Replace(clean, "CapAmb:\t0", "CapAmb:\t1", 1):             false,
		strings.Replace(clean, "NoNewPrivs:\t1", "NoNewPrivs:\t0", 1):     false,
		strings.Replace(clean, "Seccomp:\t2", "Seccomp:\t0", 1):           false,
		strings.Replace(clean, "Seccomp:\t2", "Seccomp:\t1", 1):           false,
		strings.Replace(clean, "CapBnd:\t0", "CapBnd:\t1ffffffffff", 1):   true,
		strings.Replace(clean, "CapEff:\t0", "CapEff:\tmany", 1):          false,
		strings.Replace(clean, "Uid:\t5\t5\t5\t5", "Uid:\t5", 1):          false,
		strings.Replace(clean, "NoNewPrivs:\t1", "SomethingElse:\t1", -1): false,
	} {
		for _, threads := range [][]string{{clean, text}, {text, clean}} {
			s := &Status{NoNewPrivs: true, Seccomp: "filter"}
			var err error
			for _, th := range threads {
				err = errors.Join(err, s.add(th))
			}
			got := err == nil && s.Effective|s.Permitted|s.Inheritable|s.Ambient == 0 && s.NoNewPrivs && s.Seccomp == "filter"
			if got != ok {
				b, _ := json.Marshal(s)
				t.Errorf("%s\nis %v: %s %v", text, got, b, err)
			}
		}
	}
	if got := Names(1<<12 | 1<<21 | 1<<60); !reflect.DeepEqual(got, []string{"net_admin", "sys_admin", "60"}) {
		t.Errorf("%v", got)
	}
	if len(capabilityNames) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d names", len(capabilityNames))
	}
}

// What Enter leaves is looked at piece by piece.
func TestCheck(t *testing.T) {
	whole := Status{UID: 5, NoNewPrivs: true, Seccomp: "filter"}
	for want, change := range map[string]func(*Status){
		"it has capabilities":                   func(s *Status) { s.Ambient = 1 },
		"no_new_privs is not set":               func(s *Status) { s.NoNewPrivs = false },
		"no system call filter":                 func(s *Status) { s.Seccomp = "off" },
		"it is dumpable":                        func(s *Status) { s.Dumpable = true },
		"the system call filter is another one": func(*Status) {}, // this process has none
	} {
		s := whole
		change(&s)
		if err := s.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A process is not taken for a confined one because its environment says so.
func TestMarkerAlone(t *testing.T) {
	if !inChild(t) {
		return
	}
	if Entered() {
		t.Error("there is no marker")
	}
	t.Setenv(marker, "{}")
	if !Entered() {
		t.Error("the marker is not seen")
	}
	if err := DropCapabilities(AllThreads); err != nil { // a container does as much
		t.Fatal(err)
	}
	if c, err := Settle(); err == nil || !strings.Contains(err.Error(), "not confined") || strings.Contains(err.Error(), "Landlock") { // before that is asked for
		t.Errorf("%+v %v", c, err)
	}
	t.Setenv(marker, "yes")
	if c, err := Settle(); err == nil || !strings.Contains(err.Error(), "for sallyport itself") {
		t.Errorf("%+v %v", c, err)
	}
}
