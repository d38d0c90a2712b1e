package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A Sandbox is a command in its namespaces. Its methods are safe for concurrent use.
type Sandbox struct {
	Sockets
	spec Spec
	cmd  *exec.Cmd
	sock *os.File
	pty  *os.File
	io   *relay

	once sync.Once
	done chan struct{}
	exit Exit
	dead error // of cmd.Wait
}

// Start makes the namespaces and the sockets. The command does not run before Go.
func Start(ctx context.Context, spec Spec) (*Sandbox, error) {
	s := &Sandbox{spec: spec, done: make(chan struct{})}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	s.sock = os.NewFile(uintptr(pair[0]), "order")
	theirs := os.NewFile(uintptr(pair[1]), "order")
	defer theirs.Close()
	if s.io, err = newRelay(spec, s.terminal()); err != nil {
		return nil, err
	}
	if err := s.spawn(theirs); err != nil {
		s.io.close()
		return nil, fmt.Errorf("%w: %w%s", ErrSetup, err, advice(err))
	}
	_ = theirs.Close()
	o, files, err := s.order() // while the init gets on its feet
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	if err == nil {
		err = s.shake(o, files)
	}
	if err != nil {
		s.Kill()
		<-s.done
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	// The proxy's memory is nobody's business, and this is as late as it can be said.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	return s, nil
}

// advice says what stands in the way of an ordinary user most often.
func advice(err error) string {
	if os.Getuid() == 0 || !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EACCES) {
		return ""
	}
	return "; an ordinary user needs user namespaces: see kernel.unprivileged_userns_clone, user.max_user_namespaces and AppArmor's restriction of them"
}

// spawn starts the init. The thread that starts it stays, since its end would be
// taken for the parent's.
func (s *Sandbox) spawn(sock *os.File) error {
	for _, n := range []int{s.spec.UID, s.spec.GID} { // the kernel takes the lower 32 bits
		if n < 0 || n >= math.MaxUint32 || uint32(n) == 0 && os.Getuid() == 0 {
			return fmt.Errorf("the number %d is nobody's whom a sandbox may be on the host", n)
		}
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"sallyport", hiddenInit}
	cmd.Env = []string{"GOGC=off", "GOMAXPROCS=1"} // it does little, once
	cmd.ExtraFiles = []*os.File{sock}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.io.in, s.io.out, s.io.err
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: s.spec.UID, HostID: s.spec.UID, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: s.spec.GID, HostID: s.spec.GID, Size: 1}},
		AmbientCaps: setUp,
		Pdeathsig:   syscall.SIGKILL,
		Setsid:      true,
	}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.spec.UID), Gid: uint32(s.spec.GID), Groups: []uint32{}}
	}
	s.cmd = cmd
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		s.dead = cmd.Wait()
		close(s.done)
	}()
	return <-started
}

// shake gives the order with what it shows, and takes the sockets.
func (s *Sandbox) shake(o *order, files []*os.File) error {
	if err := send(s.sock, o); err != nil {
		return err
	}
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	if len(fds) > 0 {
		if err := sendFiles(s.sock, fds); err != nil {
			return fmt.Errorf("passing what is shown: %w", err)
		}
	}
	var a answer
	if err := receive(s.sock, &a); err != nil {
		return fmt.Errorf("the init ended without a word: %w", err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	n := a.TCP + a.Explicit + a.DNS + a.DNSTCP + a.Log + a.Pty
	if a.TCP == 0 || a.Log != 1 || n > 64 {
		return errors.New("the init passed the wrong sockets")
	}
	fds, err := receiveFiles(s.sock, n)
	if err != nil {
		return err
	}
	socks, pty, err := wrap(a, fds)
	if err != nil {
		return err
	}
	s.Sockets, s.pty = *socks, pty
	return nil
}

// Go lets the command run.
func (s *Sandbox) Go() error {
	if s.pty != nil {
		if err := s.io.terminal(s.pty, s.spec.Stdin, s.spec.Stdout); err != nil {
			return err
		}
	}
	return send(s.sock, "go")
}

// Wait waits for the command and returns how it ended.
func (s *Sandbox) Wait() Exit {
	s.once.Do(func() {
		var a answer
		if err := receive(s.sock, &a); err == nil && a.Error != "" {
			s.exit = Exit{Code: a.Code, Err: errors.New(a.Error)}
		} else if err != nil && !errors.Is(err, io.EOF) {
			s.exit = Exit{Code: codeSetup, Err: err}
		}
		<-s.done
		s.io.close()
		if s.exit.Err == nil {
			st := s.cmd.ProcessState
			s.exit.Code = st.ExitCode()
			if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
				s.exit.Code = codeSignalled + int(ws.Signal())
			}
		}
		_ = s.sock.Close()
	})
	return s.exit
}

// Signal passes a signal on to the command.
func (s *Sandbox) Signal(sig os.Signal) {
	_ = s.cmd.Process.Signal(sig)
}

// Kill ends everything inside at once.
func (s *Sandbox) Kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
	}
}

// Shown returns the directories of the host that a sandbox would show, without
// those of the system, and those of the system.
func (s Spec) Shown() (own, of []string) {
	if dir, shown := workDir(s); shown {
		own = append(own, dir)
	}
	own = append(own, pathPrefixes(s)...)
	for _, m := range s.Mounts {
		own = append(own, m.Source)
	}
	return own, slices.Clone(system)
}

// order works out what is shown where.
func (s *Sandbox) order() (*order, []*os.File, error) {
	spec := s.spec
	o := &order{Spec: spec, Hosts: []byte("127.0.0.1 localhost sandbox\n::1 localhost sandbox\n"), Resolv: []byte(ResolvConf)}
	o.Stdin, o.Stdout, o.Stderr = nil, nil, nil
	if s.terminal() {
		o.Terminal = true
		if w, h, err := term.GetSize(int(spec.Stdout.Fd())); err == nil {
			o.Rows, o.Cols = uint16(h), uint16(w)
		}
	}
	if dir, shown := workDir(spec); shown {
		o.Trees = append(o.Trees, tree{Source: dir, Target: dir, Writable: true})
		o.Dir, o.Shown = dir, true
	}
	for _, p := range pathPrefixes(spec) {
		o.Trees = append(o.Trees, tree{Source: p, Target: p})
	}
	for _, m := range spec.Mounts {
		o.Trees = append(o.Trees, tree{Source: m.Source, Target: m.Target, Writable: m.Writable})
	}
	o.Hidden = hidden(spec.Hide, o.Trees)
	for _, k := range spec.Keep {
		if slices.ContainsFunc(o.Trees, func(t tree) bool { return t.Writable && within(k, t.Source) }) {
			o.Kept = append(o.Kept, hidden([]string{k}, o.Trees)...)
		}
	}
	o.Ports = hidden(hostSockets(), o.Trees)
	// As root the workload is somebody else: what it may write is given to it.
	var files []*os.File
	if os.Getuid() == 0 {
		ids := idmaps{}
		defer ids.close()
		for i := range o.Trees {
			t := &o.Trees[i]
			attr := uint64(readOnly)
			if t.Writable {
				attr = guarded
			}
			f, err := ids.mapped(t.Source, spec.UID, spec.GID, attr)
			if err != nil {
				return nil, files, err
			}
			t.Passed = true
			files = append(files, f)
		}
	}
	if spec.JavaStore != nil {
		f, err := inMemory(spec.JavaStore)
		if err != nil {
			return nil, files, err
		}
		o.Java = true
		files = append(files, f)
	}
	return o, files, nil
}

// inMemory is a file of what a function makes.
func inMemory(of func() ([]byte, error)) (*os.File, error) {
	b, err := of()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("java", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "java")
	if _, err := f.WriteAt(b, 0); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (s *Sandbox) terminal() bool { return isTerminal(s.spec.Stdin) && isTerminal(s.spec.Stdout) }

func isTerminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

// workDir returns the working directory and whether it is shown: a home
// directory is not, nor what is above it, nor the system's own.
func workDir(spec Spec) (string, bool) {
	dir, err := filepath.EvalSymlinks(spec.Dir)
	if err != nil || dir == "/" || within(spec.Home, dir) || dir == "/tmp" || dir == "/var/tmp" { // others meet in the last two
		return spec.Dir, false
	}
	for _, s := range append([]string{"/proc", "/sys", "/dev", "/run", "/boot", "/var/lib", "/var/log", "/var/run", "/var/spool"}, system...) {
		if within(dir, s) || within(s, dir) {
			return spec.Dir, false
		}
	}
	return dir, true
}

// hostSockets are the Unix sockets that somebody is bound to by a path. A path is
// all that it takes to connect, whatever the network namespace.
func hostSockets() (out []string) {
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 8)
		if i := strings.IndexByte(line, '/'); len(f) == 8 && i > 0 {
			out = append(out, strings.TrimSuffix(line[i:], "\n"))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// toolchains are directories of HOME that hold tools and what those need, and no
// keys to anything: with a directory of theirs in PATH, what it belongs to is
// shown.
var toolchains = []string{".pyenv", ".rbenv", ".nodenv", ".nvm", ".fnm", ".n", ".volta", ".asdf", ".sdkman", ".jenv", ".rustup", ".ghcup", ".opam", ".juliaup", ".linuxbrew",
	".pixi", ".rye", "go", "sdk", "miniconda3", "miniforge3", "anaconda3", "mambaforge"}

// pathPrefixes are what PATH needs of the home directory: where tools that are
// installed there keep themselves, and nothing that is not theirs.
func pathPrefixes(spec Spec) (out []string) {
	add := func(p string) {
		real, err := filepath.EvalSymlinks(p)
		if err != nil || real != p || !exists(p) || within(spec.Home, p) {
			return
		}
		for _, o := range out {
			if within(p, o) {
				return
			}
		}
		out = append(out, p)
	}
	for _, kv := range spec.Env {
		v, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, d := range filepath.SplitList(v) {
			d = filepath.Clean(d)
			if !within(d, spec.Home) || d == spec.Home {
				continue
			}
			prefix := d
			switch filepath.Base(d) {
			case "bin", "sbin", "shims", "games":
				prefix = filepath.Dir(d)
			}
			below, _, _ := strings.Cut(strings.TrimPrefix(prefix, spec.Home+"/"), "/")
			if !slices.Contains(toolchains, below) { // beside the tools may stand what is not theirs
				prefix = d
			}
			add(prefix)
			if d == filepath.Join(spec.Home, ".local", "bin") {
				add(filepath.Join(spec.Home, ".local", "lib"))
			}
		}
	}
	return out
}

// hidden translates paths of the host to where they would be seen inside.
func hidden(paths []string, trees []tree) (out []string) {
	for _, p := range paths {
		real, err := filepath.EvalSymlinks(p)
		if err != nil {
			real = filepath.Clean(p)
		}
		out = append(out, real)
		for _, t := range trees {
			src, err := filepath.EvalSymlinks(t.Source)
			if err == nil && within(real, src) && t.Target != src {
				out = append(out, filepath.Join(t.Target, strings.TrimPrefix(real, src)))
			}
		}
	}
	return out
}
