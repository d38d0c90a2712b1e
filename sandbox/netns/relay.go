package netns

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A relay stands between the command's standard streams and the caller's, where
// those cannot be handed in as they are: a socket is a way out, and a terminal
// can be written to as if its user typed.
type relay struct {
	in, out, err *os.File // what the init inherits
	ours         []*os.File
	copies       sync.WaitGroup
	restore      func()
	stop         func()
}

func newRelay(spec Spec, terminal bool) (*relay, error) {
	r := &relay{in: spec.Stdin, out: spec.Stdout, err: spec.Stderr}
	for _, f := range []*os.File{spec.Stdin, spec.Stdout, spec.Stderr} {
		if f == nil {
			continue
		}
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return nil, fmt.Errorf("%w: a standard stream is a directory, from which all of the host's files could be reached", ErrSetup)
		}
	}
	if terminal {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		r.in, r.out, r.err = null, null, null
		r.ours = append(r.ours, null)
		return r, nil
	}
	var err error
	if handed(spec.Stdin) {
		r.in, err = r.pipeIn(spec.Stdin)
	}
	if err == nil && handed(spec.Stdout) {
		r.out, err = r.pipeOut(spec.Stdout)
	}
	if err == nil && handed(spec.Stderr) {
		r.err, err = r.pipeOut(spec.Stderr)
	}
	return r, err
}

// handed reports whether a stream must not be inherited: a socket, or a terminal.
func handed(f *os.File) bool {
	if f == nil {
		return false
	}
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return true
	}
	return st.Mode&unix.S_IFMT == unix.S_IFSOCK || isTerminal(f)
}

func (r *relay) pipeIn(from *os.File) (*os.File, error) {
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	r.ours = append(r.ours, pr)
	go func() { // it may wait for a person, so nobody waits for it
		_, _ = io.Copy(pw, from)
		_ = pw.Close()
	}()
	return pr, nil
}

func (r *relay) pipeOut(to *os.File) (*os.File, error) {
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	r.ours = append(r.ours, pw)
	r.copies.Go(func() {
		_, _ = io.Copy(to, pr)
		_ = pr.Close()
	})
	return pw, nil
}

// terminal joins the caller's terminal with the command's until that is closed.
func (r *relay) terminal(pty, stdin, stdout *os.File) error {
	fd := int(stdin.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return err
	}
	r.restore = func() { _ = term.Restore(fd, old) }
	size := func() {
		if w, h, err := term.GetSize(int(stdout.Fd())); err == nil {
			raw, err := pty.SyscallConn()
			if err == nil {
				_ = raw.Control(func(p uintptr) {
					_ = unix.IoctlSetWinsize(int(p), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(h), Col: uint16(w)})
				})
			}
		}
	}
	size()
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGWINCH)
	go func() {
		for range ch {
			size()
		}
	}()
	r.stop = func() { signal.Stop(ch); close(ch) }
	go func() { _, _ = io.Copy(pty, stdin) }()
	r.copies.Go(func() {
		_, _ = io.Copy(stdout, pty) // ends with EIO when nobody has the other side open
		_ = pty.Close()
	})
	return nil
}

// close waits for what the command wrote and gives the terminal back.
func (r *relay) close() {
	for _, f := range r.ours {
		_ = f.Close()
	}
	r.ours = nil
	r.copies.Wait()
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
	if r.restore != nil {
		r.restore()
		r.restore = nil
	}
}
