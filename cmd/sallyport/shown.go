package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/confine"
	"sallyport/sandbox/netns"
	"sallyport/sandbox/trust"
)

// spec is what the sandbox shows and runs.
func (o *runOptions) spec(ca []byte) (netns.Spec, error) {
	dir, err := os.Getwd()
	if err != nil {
		return netns.Spec{}, fmt.Errorf("the working directory, which the command would see, is gone or cannot be read: cd to another (%w)", err)
	}
	s := netns.Spec{Argv: o.argv, Dir: dir, Nested: o.nested, Stdin: o.stdin, Stdout: o.stdout, Stderr: o.stderr}
	if s.Home, err = os.UserHomeDir(); err != nil || !filepath.IsAbs(s.Home) || s.Home == "/" {
		s.Home = "/home/sandbox"
	}
	if s.UID, s.GID, err = workloadUser(o.user); err != nil {
		return s, err
	}
	var at trusted
	if !o.noCA {
		if at, err = trustCA(&s, ca); err != nil {
			return s, err
		}
	}
	if s.Env, err = environment(os.Environ(), o.env, o.envAll, o.secretVars, at); err != nil {
		return s, err
	}
	if !slices.ContainsFunc(s.Env, func(kv string) bool { return strings.HasPrefix(kv, "HOME=") }) {
		s.Env = append(s.Env, "HOME="+s.Home)
	}
	for _, m := range o.mounts {
		mt, err := parseMount(m)
		if err != nil {
			return s, err
		}
		s.Mounts = append(s.Mounts, mt)
	}
	if s.Hide, err = o.hide(); err != nil {
		return s, err
	}
	own, system := s.Shown()
	for _, f := range o.secretFiles {
		dir, err := coveredWith("the secret's file", f, append(system, own...))
		if err != nil {
			return s, err
		}
		s.Hide = append(s.Hide, dir)
	}
	named := append([]string{o.auditDir}, o.secretFiles...)
	if o.policyDir != "" {
		named = append(named, o.policyDir)
	}
	if exe, err := os.Executable(); err == nil {
		s.Keep = append(s.Keep, exe)
	}
	return s, keptOut(named, own)
}

// trustCA makes the CA trusted inside: where the system looks, where Chromium
// does, and where Java does if there is one.
func trustCA(s *netns.Spec, ca []byte) (trusted, error) {
	at := trusted{bundle: netns.BundleFile, ca: netns.CAFile}
	s.CA = ca
	nss, err := trust.NSS(ca)
	if err != nil {
		return at, fmt.Errorf("a store for NSS: %w", err)
	}
	s.HomeFiles = map[string][]byte{filepath.Join(".pki", "nssdb", trust.NSSFile): nss}
	if _, err := exec.LookPath("java"); err == nil {
		s.JavaStore = func() ([]byte, error) { return trust.Java(netns.Bundle(ca)) }
		at.java = netns.JavaStoreFile
	}
	return at, nil
}

// hide are the paths that no sandbox sees, wherever they are.
func (o *runOptions) hide() ([]string, error) {
	out := []string{o.auditDir}
	if s, err := stateDir(); err == nil {
		out = append(out, s)
	}
	if o.policyDir != "" {
		p, err := filepath.Abs(o.policyDir)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return append(out, o.secretFiles...), nil
}

// coveredWith is the directory that is covered for a file. A cover of the file
// alone would go when the file is replaced, as rotation does. Where the directory
// is one that is shown as a whole, or holds one, it cannot be covered.
func coveredWith(what, file string, shown []string) (string, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	within := func(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }
	seen, whole := false, false
	for _, s := range shown {
		if real, err := filepath.EvalSymlinks(s); err == nil {
			seen, whole = seen || within(dir, real), whole || within(real, dir)
		}
	}
	if seen && whole {
		return "", fmt.Errorf("%s %s lies in a directory that the command sees, and would show when it is replaced: put it into a directory of its own, which is covered, or elsewhere", what, file)
	}
	return dir, nil
}

// keptOut refuses names of what no sandbox sees that lead through a link in a
// directory which is shown: the command could replace it, or what it leads to
// after a rotation would show.
func keptOut(paths, shown []string) error {
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		for at := abs; at != "/"; at = filepath.Dir(at) {
			st, err := os.Lstat(at)
			if err != nil || st.Mode()&os.ModeSymlink == 0 {
				continue
			}
			dir, err := filepath.EvalSymlinks(filepath.Dir(at))
			if err != nil {
				return err
			}
			for _, w := range shown {
				if real, err := filepath.EvalSymlinks(w); err == nil && (dir == real || strings.HasPrefix(dir, real+"/")) {
					return fmt.Errorf("%s leads through the link %s, which the command sees and could replace: name what it leads to", p, at)
				}
			}
		}
	}
	return nil
}

// parseMount reads PATH[:TARGET][:rw].
func parseMount(s string) (netns.Mount, error) {
	parts := strings.Split(s, ":")
	var m netns.Mount
	if n := len(parts); n > 1 && (parts[n-1] == "rw" || parts[n-1] == "ro") {
		m.Writable = parts[n-1] == "rw"
		parts = parts[:n-1]
	}
	if len(parts) > 2 || parts[0] == "" {
		return m, fmt.Errorf("--mount %q: expected PATH[:TARGET][:rw]", s)
	}
	src, err := filepath.Abs(parts[0])
	if err != nil {
		return m, err
	}
	if m.Source, err = filepath.EvalSymlinks(src); err != nil {
		return m, fmt.Errorf("--mount %q: %w", s, err)
	}
	m.Target = src
	if len(parts) == 2 {
		m.Target = filepath.Clean(parts[1])
	}
	if m.Target == "/etc" {
		return m, fmt.Errorf("--mount %q: the sandbox has a resolv.conf, hosts and certificates of its own in /etc, so nothing can be mounted in place of it: mount what is in it", s)
	}
	if !filepath.IsAbs(m.Target) || m.Target == "/" || strings.HasPrefix(m.Target+"/", "/proc/") || strings.HasPrefix(m.Target+"/", "/dev/") || strings.HasPrefix(m.Target+"/", "/sys/") {
		return m, fmt.Errorf("--mount %q: nothing can be mounted at %s", s, m.Target)
	}
	return m, nil
}

// nobody is whose a workload is when root starts it and says nothing else.
const nobody = 65534

// workloadUser is the host's user that the workload runs as.
func workloadUser(flag string) (uid, gid int, err error) {
	if os.Getuid() != 0 {
		if flag != "" {
			return 0, 0, errors.New("--user: only root can choose; the command runs as you")
		}
		return os.Getuid(), os.Getgid(), nil
	}
	if flag == "" {
		return nobody, nobody, nil
	}
	u, g, hasGroup := strings.Cut(flag, ":")
	us, gs := u, u
	if strings.Trim(u, "+-0123456789") != "" {
		who, err := user.Lookup(u)
		if err != nil {
			return 0, 0, fmt.Errorf("--user %q: expected UID[:GID] or a user's name, and there is no user %q", flag, u)
		}
		us, gs = who.Uid, who.Gid
	}
	if hasGroup {
		gs = g
	}
	if uid, err = hostID(us); err == nil {
		gid, err = hostID(gs)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("--user %q: %w", flag, err)
	}
	return uid, gid, nil
}

// hostID reads a user's or a group's number that is not root's.
func hostID(s string) (int, error) {
	n, err := confine.ID(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no number of a user or a group: those are from 1 to %d", s, uint32(math.MaxUint32)-1)
	case n == 0:
		return 0, errors.New("a sandbox is never root on the host")
	}
	return n, nil
}
