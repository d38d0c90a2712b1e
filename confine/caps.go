package confine

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Threads are those that something is done to.
type Threads int

const (
	// ThisThread is the calling one, which has to be locked.
	ThisThread Threads = iota
	// AllThreads are those of the process. A binary that was linked with cgo cannot
	// reach its other threads for capabilities: there it is the calling one.
	AllThreads
)

func (t Threads) call(trap, a1, a2, a3 uintptr) error {
	e := syscall.ENOTSUP
	if t == AllThreads {
		_, _, e = syscall.AllThreadsSyscall(trap, a1, a2, a3)
	}
	if e == syscall.ENOTSUP {
		_, _, e = syscall.RawSyscall(trap, a1, a2, a3)
	}
	if e != 0 {
		return e
	}
	return nil
}

// DropCapabilities gives up every capability of every set, and the way back to
// any.
func DropCapabilities(on Threads) error { return LimitCapabilities(on, 0, 0) }

// LimitCapabilities leaves no other capabilities than own, and to what is executed
// no others than bounding; there is no way back to any: no_new_privs is set. The
// bounding set is the calling thread's, from which the rest of it is inherited.
func LimitCapabilities(on Threads, own, bounding uint64) error {
	if err := on.call(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if err := dropBounding(bounding); err != nil {
		return err
	}
	if err := on.call(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("ambient capabilities: %w", err)
	}
	hdr, has, err := capabilities()
	if err != nil {
		return err
	}
	for i := range has {
		has[i].Permitted &= uint32(own >> (32 * i))
		has[i].Effective, has[i].Inheritable = has[i].Permitted, 0
	}
	if err := on.call(unix.SYS_CAPSET, uintptr(unsafe.Pointer(hdr)), uintptr(unsafe.Pointer(&has[0])), 0); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}

// capabilities are the calling thread's.
func capabilities() (*unix.CapUserHeader, *[2]unix.CapUserData, error) {
	hdr, has := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &[2]unix.CapUserData{}
	if err := unix.Capget(hdr, &has[0]); err != nil {
		return nil, nil, fmt.Errorf("capget: %w", err)
	}
	return hdr, has, nil
}

// dropBounding leaves no more than these in the bounding set of this thread.
// Without SETPCAP it cannot be made smaller, and with no_new_privs nothing comes of
// what is in it.
func dropBounding(keep uint64) error {
	_, has, err := capabilities()
	if err != nil {
		return err
	}
	if has[0].Effective&(1<<unix.CAP_SETPCAP) == 0 {
		return nil
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if keep&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("capability %d: %w", c, err)
		}
	}
	return nil
}

// capabilityNames are those of linux/capability.h, by number.
var capabilityNames = strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct
sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore`)

// Names are the capabilities of a set, such as net_admin.
func Names(set uint64) []string {
	out := []string{}
	for i := range 64 {
		switch {
		case set&(1<<i) == 0:
		case i < len(capabilityNames):
			out = append(out, capabilityNames[i])
		default:
			out = append(out, fmt.Sprint(i))
		}
	}
	return out
}
