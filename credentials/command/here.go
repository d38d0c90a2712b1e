package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Here runs programs as children of this process: without a shell, with no more of an
// environment than is said, in the root directory, and in a process group that
// is killed with all that is left in it when the run ends.
type Here struct{}

// Knows is true of all.
func (Here) Knows(Spec) bool { return true }

// Run runs one. What goes wrong is in the output.
func (Here) Run(ctx context.Context, s Spec) (Output, error) {
	if err := s.check(os.Geteuid()); err != nil { // it may have been replaced since
		return Output{Code: -1, Failed: err.Error()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	p := protocols[s.Protocol]
	cmd := exec.CommandContext(ctx, s.Args[0], append(s.Args[1:len(s.Args):len(s.Args)], p.args...)...)
	cmd.Env, cmd.Dir = s.environ(), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var over atomic.Bool
	kill := func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	tooMuch := func() { over.Store(true); _ = kill() }
	stdout, stderr := &limited{most: maxOutput, over: tooMuch}, &limited{most: maxStderr, drop: true, over: tooMuch}
	cmd.Stdout, cmd.Stderr, cmd.Cancel, cmd.WaitDelay = stdout, stderr, kill, time.Second
	if p.stdin != nil {
		cmd.Stdin = strings.NewReader(p.stdin(s.Host))
	}
	if err := cmd.Start(); err != nil {
		return Output{Code: -1, Failed: "it cannot be started: " + err.Error()}, nil
	}
	ended(cmd.Process.Pid)
	_ = kill() // what it left behind, while its number is still its own
	err := cmd.Wait()
	out := Output{Code: -1, Stderr: stderr.n}
	switch {
	case over.Load():
		out.Failed = fmt.Sprintf("it said more than %d bytes, or %d on its standard error, and was killed", maxOutput, maxStderr)
	case ctx.Err() != nil:
		out.Failed = fmt.Sprintf("it did not end within %s, and was killed", s.Timeout)
	case errors.Is(err, exec.ErrWaitDelay):
		out.Failed = "it ended, and something that it started kept its output open"
	case cmd.ProcessState != nil && cmd.ProcessState.Exited():
		out.Code, out.Stdout = cmd.ProcessState.ExitCode(), stdout.b.Bytes()
	default:
		out.Failed = "it was killed"
	}
	if out.Stdout == nil {
		clear(stdout.b.Bytes())
	}
	return out, nil
}

// ended waits until a child has ended, and leaves it to be waited for.
func ended(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// maxStderr is how much a program may say on its standard error.
const maxStderr = 1 << 20

// limited takes no more than most bytes, and keeps them unless it drops all. It is
// for one goroutine.
type limited struct {
	most, n int
	drop    bool
	b       bytes.Buffer
	over    func()
}

// Write keeps p, or calls over once there is too much.
func (l *limited) Write(p []byte) (int, error) {
	if l.n += len(p); l.n > l.most {
		l.over()
		return 0, errors.New("too much")
	}
	if !l.drop {
		l.b.Write(p)
	}
	return len(p), nil
}
