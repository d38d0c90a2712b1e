package netns

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// system are the places of the host that everybody may read. What else there is
// is not shown.
var system = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store", "/gnu/store"}

// bundles are where systems keep the certificates that they trust.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/usr/lib/ssl/cert.pem", "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
}

// masked are entries of /proc that say something of the host or change it.
var masked = []string{"kcore", "keys", "key-users", "timer_list", "sched_debug", "sysrq-trigger", "kallsyms", "kmsg", "latency_stats", "acpi", "scsi"}

const readOnly = guarded | unix.MOUNT_ATTR_RDONLY

// newRoot is where the view is built before it becomes the root.
const newRoot = "/tmp"

// view builds what the workload sees and makes it the root. ptmx is opened in
// its own devpts when a terminal is wanted.
func view(o *order) (ptmx *os.File, err error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("private mounts: %w", err)
	}
	type part struct {
		fd     int
		target string
		dir    bool
	}
	var parts []part
	show := func(source, target string, attr uint64) error {
		st, err := os.Stat(source)
		if err != nil {
			return err
		}
		fd, err := cloneTree(source)
		if err != nil {
			return err
		}
		if err := setAttr(fd, attr, true); err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		parts = append(parts, part{fd, target, st.IsDir()})
		return nil
	}
	var links [][2]string
	for _, s := range system {
		st, err := os.Lstat(s)
		switch {
		case err != nil:
			continue
		case st.Mode()&os.ModeSymlink != 0: // /bin is usr/bin
			to, err := os.Readlink(s)
			if err != nil {
				return nil, err
			}
			links = append(links, [2]string{to, s})
		default:
			if err := show(s, s, readOnly); err != nil {
				return nil, err
			}
		}
	}
	for _, t := range o.Trees {
		if t.Passed {
			st, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d", t.fd))
			if err != nil {
				return nil, err
			}
			parts = append(parts, part{t.fd, t.Target, st.IsDir()})
			continue
		}
		attr := uint64(readOnly)
		if t.Writable {
			attr = guarded
		}
		if err := show(t.Source, t.Target, attr); err != nil {
			return nil, err
		}
	}
	devs, err := cloneDevices()
	if err != nil {
		return nil, err
	}
	root, err := tmpfs("mode", "755", "size", "64m")
	if err != nil {
		return nil, err
	}
	if err := attach(root, newRoot); err != nil {
		return nil, err
	}
	in := func(p string) string { return filepath.Join(newRoot, p) }
	for _, l := range links {
		if err := os.Symlink(l[0], in(l[1])); err != nil {
			return nil, err
		}
	}
	for _, d := range [][3]string{{"/tmp", "1777", "50%"}, {"/var", "755", "50%"}, {"/run", "755", "64m"}, {o.Home, "700", "50%"}} {
		if err := mountTmpfs(in(d[0]), d[1], d[2]); err != nil {
			return nil, err
		}
	}
	for _, d := range []string{"/var/tmp", "/var/cache", "/var/lib", "/var/log", "/run/lock", "/mnt", "/srv"} {
		if err := os.MkdirAll(in(d), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(in("/var/tmp"), 0o1777); err != nil {
		return nil, err
	}
	slices.SortStableFunc(parts, func(a, b part) int { return strings.Count(a.target, "/") - strings.Count(b.target, "/") })
	for _, p := range parts {
		if err := placeFor(p.dir, in(p.target)); errors.Is(err, unix.EROFS) {
			return nil, fmt.Errorf("nothing can be shown at %s: it does not exist, and the directory above it is the system's, which is read-only inside", p.target)
		} else if err != nil {
			return nil, fmt.Errorf("a place for %s: %w", p.target, err)
		}
		if err := attach(p.fd, in(p.target)); err != nil {
			return nil, err
		}
	}
	if err := processes(in("/proc"), in("/sys")); err != nil {
		return nil, err
	}
	if ptmx, err = devices(in("/dev"), devs, o); err != nil {
		return nil, err
	}
	if err := writeStash(in(trustDir), o); err != nil {
		return nil, err
	}
	if err := writeHome(in(o.Home), o.HomeFiles); err != nil {
		return nil, err
	}
	if err := pivot(); err != nil {
		return nil, err
	}
	return ptmx, finishView(o)
}

// processes mounts /proc of the new namespace and /sys, what changes the host
// read-only. The old /proc must still be there: the kernel wants to see that
// nothing is revealed that was hidden before.
func processes(proc, sys string) error {
	for _, d := range []string{proc, sys} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	for _, p := range []string{"sys", "irq", "bus", "fs"} {
		if d := filepath.Join(proc, p); exists(d) {
			if err := bind(d, d, readOnly); err != nil {
				return err
			}
		}
	}
	for _, m := range masked {
		p := filepath.Join(proc, m)
		st, err := os.Stat(p)
		if err != nil {
			continue
		}
		if st.IsDir() {
			err = mountTmpfs(p, "555", "4k")
		} else {
			err = bind("/dev/null", p, guarded&^unix.MOUNT_ATTR_NODEV)
		}
		if err != nil {
			return err
		}
	}
	// Where the host's own /sys is not whole a new one is not allowed: then there is none.
	_ = unix.Mount("sysfs", sys, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "")
	return nil
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// writeStash makes the files that are ours, read-only.
func writeStash(dir string, o *order) error {
	if err := mountTmpfs(dir, "755", "16m"); err != nil {
		return err
	}
	files := map[string][]byte{"resolv.conf": o.Resolv, "hosts": o.Hosts, "empty": nil}
	if o.CA != nil {
		files["ca.pem"], files["ca-bundle.pem"] = o.CA, Bundle(o.CA)
	}
	if o.Java {
		b, err := io.ReadAll(os.NewFile(uintptr(o.javaFd), "java"))
		if err != nil {
			return err
		}
		files[filepath.Base(JavaStoreFile)] = b
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o444); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "nothing"), 0o555); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, dir, 0, &unix.MountAttr{Attr_set: readOnly | unix.MOUNT_ATTR_NOEXEC})
}

// Bundle is the system's certificates, as far as the caller may read them, and a CA.
func Bundle(ca []byte) (out []byte) {
	for _, b := range bundles {
		if text, err := os.ReadFile(b); err == nil {
			out = append(text, '\n')
			break
		}
	}
	return append(out, ca...)
}

// Bundles are where systems keep the certificates that they trust.
func Bundles() []string { return slices.Clone(bundles) }

func writeHome(home string, files map[string][]byte) error {
	for name, b := range files {
		p := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(p, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// pivot makes the view the root and lets go of the host's.
func pivot() error {
	if err := unix.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("the host's root: %w", err)
	}
	return unix.Chdir("/")
}

// finishView puts our files over the system's and covers what must not be seen.
func finishView(o *order) error {
	over := map[string]string{"/etc/resolv.conf": "resolv.conf", "/etc/hosts": "hosts"}
	if o.CA != nil {
		for _, b := range bundles {
			if exists(b) {
				over[b] = "ca-bundle.pem"
			}
		}
	}
	for path, name := range over {
		real, err := resolve(path)
		if err != nil {
			return err
		}
		if err := bind(filepath.Join(trustDir, name), real, readOnly); err != nil {
			return err
		}
	}
	pinned := map[string]bool{}
	for _, h := range o.Hidden {
		if err := o.cover(h, pinned, true); err != nil {
			return err
		}
	}
	for _, p := range o.Ports {
		if err := o.cover(p, pinned, false); err != nil {
			return err
		}
	}
	for _, k := range o.Kept {
		if err := o.pin(k, pinned); err != nil {
			return err
		}
		if err := bind(k, k, readOnly); err != nil {
			return fmt.Errorf("keeping %s: %w", k, err)
		}
	}
	return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: readOnly})
}

// cover puts nothing over what must not be seen. What is not there is not
// covered: that is an error where the workload could make it, if it matters.
func (o *order) cover(h string, pinned map[string]bool, matters bool) error {
	if !o.shows(h) { // what is there inside is not the host's
		return nil
	}
	st, err := os.Stat(h)
	if err != nil {
		if matters && o.writable(h) != "" {
			return fmt.Errorf("%s cannot be covered, and the command could put something there: %w", h, err)
		}
		return nil
	}
	cover := "empty"
	if st.IsDir() {
		cover = "nothing"
	}
	real, err := filepath.EvalSymlinks(h)
	if err != nil {
		return err
	}
	if matters { // a socket is covered wherever its directory is moved to
		if err := o.pin(real, pinned); err != nil {
			return err
		}
	}
	if err := bind(filepath.Join(trustDir, cover), real, readOnly); err != nil {
		return fmt.Errorf("covering %s: %w", h, err)
	}
	return nil
}

// shows reports whether a path inside is one of the host's.
func (o *order) shows(path string) bool {
	return slices.ContainsFunc(o.Trees, func(t tree) bool { return within(path, t.Target) }) ||
		slices.ContainsFunc(system, func(s string) bool { return within(path, s) })
}

// writable is the writable tree that a path lies below, or "".
func (o *order) writable(path string) (in string) {
	for _, t := range o.Trees {
		if t.Writable && path != t.Target && within(path, t.Target) && len(t.Target) > len(in) {
			in = t.Target
		}
	}
	return in
}

// pin makes mount points of the directories between a path and the tree that it
// lies in: they cannot be renamed, so the path leads where it led, outside too.
func (o *order) pin(path string, pinned map[string]bool) error {
	root := o.writable(path)
	if root == "" {
		return nil
	}
	var above []string
	for d := filepath.Dir(path); d != root && within(d, root); d = filepath.Dir(d) {
		above = append(above, d)
	}
	slices.Reverse(above) // from the outside in
	for _, d := range above {
		if pinned[d] {
			continue
		}
		pinned[d] = true
		if err := bind(d, d, guarded); err != nil {
			return fmt.Errorf("pinning %s: %w", d, err)
		}
	}
	return nil
}

// resolve follows links to a file that may not exist yet, and makes it if so.
func resolve(path string) (string, error) {
	for range 16 {
		st, err := os.Lstat(path)
		switch {
		case err == nil && st.Mode()&os.ModeSymlink == 0:
			return path, nil
		case err == nil:
			to, err := os.Readlink(path)
			if err != nil {
				return "", err
			}
			if !filepath.IsAbs(to) {
				to = filepath.Join(filepath.Dir(path), to)
			}
			path = to
		default:
			return path, placeFor(false, path)
		}
	}
	return "", fmt.Errorf("%s: too many links", path)
}
