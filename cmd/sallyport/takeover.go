//go:build takeover

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sallyport/confine"
)

// This file is in no release: it is serve as somebody has it who took it over. On
// the Unix socket that SALLYPORT_TAKEOVER names it does what it is told, and
// answers with the number of the error.

// init starts in the process that serves, or, with "bare:" before the path, in one
// that is not confined, and nothing else.
func init() {
	path := os.Getenv("SALLYPORT_TAKEOVER")
	if path == "" {
		return
	}
	bare := len(path) > 5 && path[:5] == "bare:"
	if bare {
		path = path[5:]
	}
	if !bare && !confine.Entered() {
		return
	}
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	_ = os.Chmod(path, 0o666)
	serve := func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go obey(c.(*net.UnixConn))
		}
	}
	if bare {
		serve()
	}
	go serve()
}

// obey reads lines of JSON: a list of a verb and its arguments. A line may come
// with a descriptor, which is then the argument "fd".
func obey(c *net.UnixConn) {
	defer c.Close()
	b, oob := make([]byte, 4096), make([]byte, 64)
	for {
		n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
		if err != nil || n == 0 {
			return
		}
		fd := -1
		if ms, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(ms) == 1 {
			if fds, err := unix.ParseUnixRights(&ms[0]); err == nil && len(fds) == 1 {
				fd = fds[0]
			}
		}
		var order []string
		if err := json.Unmarshal(b[:n], &order); err != nil || len(order) == 0 {
			return
		}
		done := make(chan error, 1)
		go func() {
			runtime.LockOSThread() // and thrown away with the goroutine
			done <- do(order, fd)
		}()
		errno := syscall.Errno(0)
		if err := <-done; err != nil && !errors.As(err, &errno) {
			errno = 255
		}
		fmt.Fprintln(c, int(errno))
	}
}

// do makes one attempt.
func do(order []string, fd int) error {
	arg := func(i int) string {
		if i+1 < len(order) {
			return order[i+1]
		}
		return ""
	}
	num := func(i int) uintptr {
		n, _ := strconv.ParseUint(arg(i), 0, 64)
		return uintptr(n)
	}
	text := func(s string) uintptr {
		p, err := unix.BytePtrFromString(s)
		if err != nil {
			panic(err)
		}
		return uintptr(unsafe.Pointer(p))
	}
	call := func(nr uintptr, a ...uintptr) error {
		var x [6]uintptr
		copy(x[:], a)
		if _, _, e := syscall.Syscall6(nr, x[0], x[1], x[2], x[3], x[4], x[5]); e != 0 {
			return e
		}
		return nil
	}
	switch order[0] {
	case "read":
		f, err := os.Open(arg(0))
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = bufio.NewReader(f).ReadByte()
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	case "write":
		f, err := os.OpenFile(arg(0), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	case "setns": // of a path, or of the descriptor that came with it
		if fd < 0 {
			var err error
			if fd, err = unix.Open(arg(0), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
				return err
			}
		}
		return unix.Setns(fd, 0)
	case "unshare":
		return call(unix.SYS_UNSHARE, num(0))
	case "clone": // a child that ends at once
		pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, num(0)|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if pid == 0 && e == 0 {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		if e != 0 {
			return e
		}
		_, err := unix.Wait4(int(pid), nil, 0, nil)
		return err
	case "socket":
		s, err := unix.Socket(int(num(0)), int(num(1)), int(num(2)))
		if err == nil {
			err = unix.Close(s)
		}
		return err
	case "exec":
		return exec.Command(arg(0)).Run()
	case "mount":
		return call(unix.SYS_MOUNT, text("none"), text(arg(0)), text("tmpfs"), 0, 0)
	case "ptrace":
		return call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, num(0), 0, 0)
	case "peek": // into another process
		var b [8]byte
		local := unix.Iovec{Base: &b[0], Len: 8}
		remote := unix.RemoteIovec{Base: num(1), Len: 8}
		_, err := unix.ProcessVMReadv(int(num(0)), []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0)
		return err
	case "getfd":
		p, err := unix.PidfdOpen(int(num(0)), 0)
		if err != nil {
			return err
		}
		_, err = unix.PidfdGetfd(p, 1, 0)
		return err
	case "kill":
		return unix.Kill(int(num(0)), 0)
	case "keyctl":
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
		return err
	case "personality":
		return call(unix.SYS_PERSONALITY, 0xffffffff)
	case "uring":
		var params [128]byte
		return call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)))
	case "become":
		return call(unix.SYS_SETRESUID, num(0), num(0), num(0))
	case "prlimit": // looks only
		return call(unix.SYS_PRLIMIT64, num(0), unix.RLIMIT_CPU, 0, 0)
	case "nice":
		return call(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, num(0), 19)
	case "shm": // a segment of the user's
		return call(unix.SYS_SHMGET, num(0), 1, 0)
	case "chmod":
		return unix.Chmod(arg(0), uint32(num(1)))
	case "fchmod":
		f, err := os.Open(arg(0))
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.Fchmod(int(f.Fd()), uint32(num(1)))
	case "chown":
		return os.Lchown(arg(0), int(num(1)), -1)
	}
	return errors.New("there is no such verb")
}
