package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Joined is the namespace of this process, sealed by itself: the entrypoint of a
// container that was made without a network.
type Joined struct {
	Sockets
	// keep are the capabilities that the workload has.
	keep uint64
	uid  int
	gid  int
}

// keepable are the capabilities that a workload may keep: they are about files and
// processes of the container, and open no way around the rules.
var keepable = map[string]uintptr{
	"chown": unix.CAP_CHOWN, "dac_override": unix.CAP_DAC_OVERRIDE, "fowner": unix.CAP_FOWNER, "fsetid": unix.CAP_FSETID,
	"kill": unix.CAP_KILL, "setgid": unix.CAP_SETGID, "setuid": unix.CAP_SETUID, "net_bind_service": unix.CAP_NET_BIND_SERVICE,
}

// Join seals the namespace of this process, which must be alone in it: nothing but
// a loopback, and no connection. It needs NET_ADMIN over it. uid and gid are whose
// the workload is; keep names capabilities that it does not lose. The caller runs
// nothing else on other threads that would matter.
func Join(uid, gid int, keep []string) (*Joined, error) {
	j := &Joined{uid: uid, gid: gid}
	for _, name := range keep {
		c, ok := keepable[strings.TrimPrefix(strings.ToLower(name), "cap_")]
		if !ok {
			return nil, fmt.Errorf("the capability %q is not one that a workload can keep: chown, dac_override, fowner, fsetid, kill, setgid, setuid and net_bind_service are", name)
		}
		j.keep |= 1 << c
	}
	if !capable(unix.CAP_NET_ADMIN) {
		return nil, errors.New("sealing the network needs the capability NET_ADMIN in this container (cap_add: [NET_ADMIN]); the command does not get it")
	}
	m, err := sealHere()
	if err != nil {
		return nil, err
	}
	s, err := m.sockets()
	if err != nil {
		return nil, err
	}
	j.Sockets = *s
	return j, nil
}

// capable reports whether this process has a capability.
func capable(c uintptr) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&hdr, &data[0]) == nil && data[c/32].Effective&(1<<(c%32)) != 0
}

// Run executes the workload, stays as the process that reaps, and returns how it
// ended. From then on this process has no capability, and like the workload makes
// no sockets but those that know the rules. When ctx has ended the workload does
// not begin; afterwards signals are the workload's.
func (j *Joined) Run(ctx context.Context, argv, env []string) Exit {
	runtime.LockOSThread() // what is dropped is dropped where the workload starts
	fail := func(code int, err error) Exit { return Exit{Code: code, Err: err} }
	sig := heed()
	if ctx.Err() != nil {
		return fail(codeSetup, errors.New("it was told to end before the command began"))
	}
	path, err := exec.LookPath(argv[0])
	if errors.Is(err, exec.ErrDot) {
		err = nil
	}
	if err != nil {
		code := codeNotRun
		if codeOf(err) == codeNotFound {
			code = codeNotFound
			err = errors.New("there is no such command in this container")
		}
		return fail(code, fmt.Errorf("%s: %w", argv[0], err))
	}
	if err := unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fail(codeSetup, fmt.Errorf("close_range: %w", err))
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fail(codeSetup, err)
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) { // container runtimes refuse the call
		return fail(codeSetup, fmt.Errorf("session keyring: %w", err))
	}
	other := j.uid != os.Getuid() || j.gid != os.Getgid()
	during, after := j.keep, uint64(0)
	if other {
		during |= 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_KILL
		after = 1 << unix.CAP_KILL // signals are passed on to another user's process
	}
	if err := limit(during, j.keep); err != nil {
		return fail(codeSetup, err)
	}
	if err := refuseCalls(); err != nil {
		return fail(codeSetup, err)
	}
	attr := &os.ProcAttr{Env: env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: true}}
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil { // the terminal of this session stays that, with the workload in front
		attr.Sys = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: 0}
	}
	if other {
		attr.Sys.Credential = &syscall.Credential{Uid: uint32(j.uid), Gid: uint32(j.gid)}
	}
	for _, c := range keepable {
		if j.keep&(1<<c) != 0 && j.uid != 0 {
			attr.Sys.AmbientCaps = append(attr.Sys.AmbientCaps, c)
		}
	}
	p, err := os.StartProcess(path, argv, attr)
	if err != nil {
		return fail(codeOf(err), fmt.Errorf("%s: %w", argv[0], reason(err)))
	}
	if err := limit(after, 0); err != nil {
		_ = p.Kill()
		return fail(codeSetup, err)
	}
	debug.SetGCPercent(100)
	return Exit{Code: reap(p.Pid, sig)}
}
