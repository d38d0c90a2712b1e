package netns

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setUp are the capabilities that the init has over its own namespaces until
// the workload runs.
var setUp = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP, unix.CAP_SYS_RESOURCE}

// dropAll gives up every capability of every set, on every thread, and the way
// back to any.
func dropAll() error { return limit(0, 0) }

// limit leaves this process, on every thread, no other capabilities than these,
// and what it executes no others than bounding; there is no way back to any. A
// binary that was linked with cgo cannot reach its other threads: there it is this
// thread's alone, which the caller has locked and starts the workload from; the
// others belong to a process that cannot be traced.
func limit(own, bounding uint64) error {
	all := func(trap, a1, a2, a3 uintptr) error {
		_, _, e := syscall.AllThreadsSyscall(trap, a1, a2, a3)
		if e == syscall.ENOTSUP {
			_, _, e = syscall.RawSyscall(trap, a1, a2, a3)
		}
		if e != 0 {
			return e
		}
		return nil
	}
	if err := all(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	// The bounding set matters to what is executed, which is by this thread alone.
	// Without SETPCAP it cannot be made smaller, nor with no_new_privs be used to get
	// what this process has not.
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if bounding&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) && (!errors.Is(err, unix.EPERM) || capable(unix.CAP_SETPCAP)) {
			return fmt.Errorf("capability %d: %w", c, err)
		}
	}
	if err := all(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("ambient capabilities: %w", err)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has [2]unix.CapUserData
	if err := unix.Capget(&hdr, &has[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	for i := range has {
		has[i].Permitted &= uint32(own >> (32 * i))
		has[i].Effective, has[i].Inheritable = has[i].Permitted, 0
	}
	if err := all(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&has[0])), 0); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
