package confine

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is allowed below a path. Executing is only for this program itself.
const (
	mayRead    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	mayExecute = mayRead | unix.LANDLOCK_ACCESS_FS_EXECUTE
	mayBind    = unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR
	mayWrite = mayRead | mayBind | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REFER
	ofFiles = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV // what can be said of one that is no directory
)

// landlockABI returns what the kernel speaks, or why it does not.
func landlockABI() (int, error) {
	n, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch e {
	case 0:
		return int(n), nil
	case unix.ENOSYS:
		return 0, errors.New("Landlock is not in this kernel: " + e.Error())
	case unix.EOPNOTSUPP:
		return 0, errors.New("Landlock is turned off in this kernel (lsm= at boot): " + e.Error())
	}
	return 0, errors.New("Landlock cannot be asked for: " + e.Error())
}

// handled are the rights that a kernel can withhold.
func handled(abi int) uint64 {
	all := uint64(unix.LANDLOCK_ACCESS_FS_REFER - 1)
	for _, later := range []struct {
		abi   int
		right uint64
	}{{2, unix.LANDLOCK_ACCESS_FS_REFER}, {3, unix.LANDLOCK_ACCESS_FS_TRUNCATE}, {5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV}} {
		if abi >= later.abi {
			all |= later.right
		}
	}
	return all
}

// scoped is what ends at this process: signals, and connections to abstract Unix
// sockets, unless one of those is the service manager's.
func scoped(abi int, notify string) uint64 {
	switch {
	case abi < 6:
		return 0
	case strings.HasPrefix(notify, "@"):
		return unix.LANDLOCK_SCOPE_SIGNAL
	}
	return unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
}

// A ruleset is what will be left of the file system.
type ruleset struct {
	fd      int
	handles uint64
}

// ruleset opens what the files say, and what every program needs, for a user.
// Signals and abstract sockets end at this process where the kernel can say so.
func (f Files) ruleset(uid int) (*ruleset, error) {
	abi, err := landlockABI()
	if err != nil {
		return nil, err
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: handled(abi), Scoped: scoped(abi, os.Getenv("NOTIFY_SOCKET"))}
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Offsetof(attr.Quiet_access_fs), 0)
	if e != 0 {
		return nil, fmt.Errorf("Landlock is not in force: %w", e) //nolint:staticcheck // a name
	}
	r := &ruleset{int(fd), attr.Handled_access_fs}
	for _, x := range []struct {
		paths []string
		may   uint64
	}{{program(), mayExecute}, {common(uid), mayRead}, {[]string{os.DevNull}, mayRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE}, {f.Read, mayRead}, {f.Write, mayWrite}, {f.Sockets, mayBind}} {
		for _, p := range x.paths {
			if err := r.allow(p, x.may); err != nil {
				_ = unix.Close(r.fd)
				return nil, err
			}
		}
	}
	return r, nil
}

// allow adds one path, with its links followed. What is not there is none, and the
// root is never: everything lies below it.
func (r *ruleset) allow(path string, may uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("Landlock is not in force: %s: %w", path, err) //nolint:staticcheck // a name
	}
	defer func() { _ = unix.Close(fd) }()
	var st, root unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &st), unix.Stat("/", &root)); err != nil {
		return err
	}
	if st.Dev == root.Dev && st.Ino == root.Ino {
		return nil
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		may &= ofFiles
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: may & r.handles, Parent_fd: int32(fd)}
	if _, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0); e != 0 {
		return fmt.Errorf("Landlock is not in force: %s: %w", path, e) //nolint:staticcheck // a name
	}
	return nil
}

// enforce puts the rules on this thread, for good. It needs no_new_privs.
func (r *ruleset) enforce() error {
	defer func() { _ = unix.Close(r.fd) }()
	if _, _, e := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(r.fd), 0, 0); e != 0 {
		return fmt.Errorf("Landlock is not in force: %w", e) //nolint:staticcheck // a name
	}
	return nil
}

// program is what has to be executable: this one, and where it is linked
// dynamically what that takes.
func program() []string {
	const self = "/proc/self/exe"
	f, err := elf.Open(self)
	if err != nil {
		return []string{self}
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return []string{self, "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"}
		}
	}
	return []string{self}
}

// common are files that any Go program with a network reads: its own state, names
// and addresses, certificates. A user without privilege may read all of /etc that
// is for everybody, so that what is replaced there is seen; to root, who owns
// what is not for everybody, only those are shown.
func common(uid int) []string {
	out := []string{"/proc/self", "/proc/sys/net/core/somaxconn", "/proc/sys/kernel/random/boot_id", "/proc/sys/kernel/overflowuid", "/proc/sys/vm/overcommit_memory",
		"/sys/kernel/mm/transparent_hugepage", "/sys/fs/cgroup", "/dev/urandom", "/usr/share/zoneinfo", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/pki", "/var/lib/ca-certificates",
		os.Getenv("SSL_CERT_FILE"), os.Getenv("SSL_CERT_DIR")}
	etc := []string{"/etc"}
	if uid == 0 {
		etc = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/ca-certificates",
			"/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/certs", "/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted"}
	}
	out = append(out, etc...)
	// Where a link leads, the file is replaced beside itself.
	if real, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		if dir := filepath.Dir(real); filepath.Dir(dir) != "/" {
			out = append(out, dir)
		}
	}
	return out
}

// WithheldFile returns why a path cannot be read although its permissions allow it:
// it lies outside of what was left at the start. It is nil for every other path,
// also for one that is not there.
func (c *Confined) WithheldFile(path string) error {
	if c == nil || c.NoLandlock != "" || unix.Access(path, unix.R_OK) != nil {
		return nil
	}
	f, err := os.Open(path)
	if err == nil {
		return f.Close()
	}
	if errors.Is(err, fs.ErrPermission) {
		return errors.New("it lies outside of what this process left itself to read at its start: restart it")
	}
	return nil
}

// WithheldSocket is WithheldFile of a directory for a socket.
func (c *Confined) WithheldSocket(dir string) error {
	if c == nil || c.NoLandlock != "" || below(dir, c.files.Sockets) || below(dir, c.files.Write) {
		return nil
	}
	return errors.New("its directory lies outside of what this process left itself for sockets at its start: restart it")
}

// WithheldDirectory is WithheldFile of a directory in which files are made.
func (c *Confined) WithheldDirectory(dir string) error {
	if c == nil || c.NoLandlock != "" || below(dir, c.files.Write) {
		return nil
	}
	return errors.New("it lies outside of what this process left itself to write at its start: restart it")
}

func below(dir string, any []string) bool {
	return slices.ContainsFunc(any, func(above string) bool {
		rel, err := filepath.Rel(above, dir)
		return err == nil && filepath.IsLocal(rel)
	})
}
