package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// hiddenInit is the argument of the first process inside.
const hiddenInit = "__sandbox-init"

// Main runs the helper processes of this package: a program that starts
// sandboxes calls it first. It reports whether this process was one of them;
// the init does not return.
func Main() bool {
	if len(os.Args) != 2 {
		return false
	}
	switch os.Args[1] {
	case hiddenPause:
		pause()
		return true
	case hiddenInit:
		os.Exit(initMain())
	}
	return false
}

const (
	codeSetup     = 125
	codeNotRun    = 126
	codeNotFound  = 127
	codeSignalled = 128
)

// initMain seals, waits for leave, and stays as the process that reaps.
func initMain() int {
	runtime.LockOSThread() // what is dropped is dropped where the workload starts
	sock := os.NewFile(orderSocket, "order")
	unix.CloseOnExec(orderSocket)
	if _, err := sock.Stat(); err != nil || os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "sallyport: this argument is not for people")
		return codeSetup
	}
	m, err := network() // needs no order, and is made while that is
	if err != nil {
		return sorry(sock, codeSetup, err)
	}
	var o order
	if err := receive(sock, &o); err != nil { // the parent is gone
		return codeSetup
	}
	if err := o.takeTrees(sock); err != nil {
		return sorry(sock, codeSetup, err)
	}
	if err := unix.CloseRange(orderSocket, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return sorry(sock, codeSetup, fmt.Errorf("close_range: %w", err))
	}
	ptmx, err := seal(sock, &o, m)
	if err != nil {
		return sorry(sock, codeSetup, err)
	}
	tty := ptmx
	if ptmx != nil {
		if tty, err = openTerminal(ptmx, &o); err != nil {
			return sorry(sock, codeSetup, fmt.Errorf("terminal: %w", err))
		}
		_ = ptmx.Close()
	}
	var leave string
	if err := receive(sock, &leave); err != nil { // the parent is gone
		return codeSetup
	}
	if err := dropAll(); err != nil {
		return sorry(sock, codeSetup, err)
	}
	if err := refuseCalls(); err != nil {
		return sorry(sock, codeSetup, err)
	}
	sig := heed()
	pid, code, err := execute(&o, tty)
	if err != nil {
		return sorry(sock, code, err)
	}
	_ = sock.Close()
	if tty != nil {
		_ = tty.Close()
	}
	debug.SetGCPercent(100) // from here on it lives as long as the workload
	return reap(pid, sig)
}

func sorry(sock *os.File, code int, err error) int {
	_ = send(sock, answer{Error: err.Error(), Code: code})
	return code
}

// network makes what there is of it, and the sockets.
func network() (*made, error) {
	if err := loopback(); err != nil {
		return nil, err
	}
	if err := rules(false); err != nil {
		return nil, err
	}
	return listen()
}

// seal makes the view and passes the sockets out.
func seal(sock *os.File, o *order, m *made) (ptmx *os.File, err error) {
	if err := unix.Sethostname([]byte("sandbox")); err != nil {
		return nil, err
	}
	if !o.Nested {
		for _, k := range []string{"max_user_namespaces", "max_net_namespaces"} {
			if err := os.WriteFile("/proc/sys/user/"+k, []byte("0"), 0); err != nil {
				return nil, fmt.Errorf("nested namespaces cannot be turned off: %w", err)
			}
		}
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil && !errors.Is(err, unix.ENOSYS) {
		return nil, fmt.Errorf("session keyring: %w", err)
	}
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	if ptmx, err = view(o); err != nil {
		return nil, err
	}
	if ptmx != nil {
		m.Pty = 1
		m.fds = append(m.fds, int(ptmx.Fd()))
	}
	if err := send(sock, m.answer); err != nil {
		return nil, err
	}
	if err := sendFiles(sock, m.fds); err != nil {
		return nil, fmt.Errorf("passing the sockets: %w", err)
	}
	for _, k := range m.keep {
		_ = k.(*os.File).Close()
	}
	_ = unix.Close(m.fds[len(m.fds)-1-m.Pty])
	return ptmx, nil
}

// execute starts the workload in a session of its own.
func execute(o *order, tty *os.File) (pid, code int, err error) {
	if err := os.Chdir(o.Dir); err != nil {
		if err := os.Chdir(o.Home); err != nil {
			return 0, codeSetup, err
		}
	}
	os.Clearenv()
	for _, kv := range o.Env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			_ = os.Setenv(k, v)
		}
	}
	path, err := exec.LookPath(o.Argv[0])
	if errors.Is(err, exec.ErrDot) {
		err = nil
	}
	if err != nil {
		err, code := reason(err), codeOf(err)
		if code == codeNotFound && !o.Shown {
			err = errors.New("there is no such command inside the sandbox; the directory that it was started in is not shown there, since home directories and the system's are not: start it in another one, or show this one with --mount")
		}
		return 0, code, fmt.Errorf("%s: %w", o.Argv[0], err)
	}
	attr := &os.ProcAttr{Env: o.Env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: true}}
	if tty != nil {
		attr.Files = []*os.File{tty, tty, tty}
		attr.Sys.Setctty = true
	}
	p, err := os.StartProcess(path, o.Argv, attr)
	if err != nil {
		return 0, codeOf(err), fmt.Errorf("%s: %w", o.Argv[0], reason(err))
	}
	return p.Pid, 0, nil
}

func codeOf(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return codeNotFound
	}
	return codeNotRun
}

// reason leaves the call's name out of what a person reads.
func reason(err error) error {
	var p *fs.PathError
	var x *exec.Error
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such command inside the sandbox, where PATH, the system's directories and the working directory are shown")
	case errors.As(err, &x):
		return x.Err
	case errors.As(err, &p):
		return p.Err
	}
	return err
}

// heed gathers the signals that are the workload's, from before there is one. What
// whoever began all this ignores, as nohup does, the workload ignores too.
func heed() chan os.Signal {
	sig := make(chan os.Signal, 16)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT, unix.SIGTSTP} {
		if !signal.Ignored(s) {
			signal.Notify(sig, s)
		}
	}
	return sig
}

// reap waits for everything, passes signals on to the workload, and ends when the
// workload does; whatever it left behind ends then too.
func reap(pid int, sig <-chan os.Signal) int {
	go func() {
		for s := range sig {
			n, _ := s.(syscall.Signal)
			if unix.Kill(-pid, n) != nil {
				_ = unix.Kill(pid, n)
			}
		}
	}()
	for {
		var ws unix.WaitStatus
		p, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return codeSetup
		case p != pid:
		case ws.Exited():
			return ws.ExitStatus()
		case ws.Signaled():
			return codeSignalled + int(ws.Signal())
		}
	}
}
