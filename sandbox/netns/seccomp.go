package netns

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets of struct seccomp_data; arguments are 64 bits, of which the low half
// comes first on the machines that we run on.
const (
	offNr   = 0
	offArch = 4
	offArg0 = 16
)

// argument is the offset of the low half of the nth argument, from 0 on.
func argument(n uint32) uint32 { return offArg0 + 8*n }

// setID are the bits of a mode that make a program run as its file's owner.
const setID = unix.S_ISUID | unix.S_ISGID

// x32 calls carry this bit: they would be another set of numbers.
const x32 = 0x40000000

// filter is what a workload's system calls are held against. Address families
// other than these know nothing of network namespaces, or of our rules.
func filter() ([]bpf.Instruction, error) {
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if arch == 0 {
		return nil, fmt.Errorf("there is no system call filter for %s", runtime.GOARCH)
	}
	errno := func(e unix.Errno) bpf.Instruction {
		return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(e)}
	}
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	out := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: arch, SkipTrue: 1},
		errno(unix.ENOSYS),
		bpf.LoadAbsolute{Off: offNr, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: x32, SkipTrue: 1},
		errno(unix.ENOSYS),
	}
	refuse := func(e unix.Errno, nrs ...uint32) {
		for _, nr := range nrs {
			out = append(out, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 1}, errno(e))
		}
	}
	refuse(unix.ENOSYS, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER)
	refuse(unix.EPERM, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_KEXEC_LOAD)
	out = append(out, modes()...)
	// The mode of openat2 is in memory, where no filter looks.
	refuse(unix.ENOSYS, unix.SYS_OPENAT2)
	for _, nr := range []uint32{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR} {
		out = append(out,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 7},
			bpf.LoadAbsolute{Off: offArg0, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_UNIX, SkipTrue: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 3},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: 1},
			errno(unix.EAFNOSUPPORT),
			allow)
	}
	out = append(out,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_IOCTL, SkipTrue: 4},
		bpf.LoadAbsolute{Off: argument(1), Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCSTI, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.TIOCLINUX, SkipTrue: 1},
		errno(unix.EPERM),
		allow)
	return out, nil
}

// modes refuses what would make a file set-user-ID or set-group-ID. On an
// id-mapped mount the file belongs to the directory's owner outside, and whoever
// executes it there would become that, which may be root.
func modes() (out []bpf.Instruction) {
	for nr, arg := range chmods {
		out = append(out,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 4},
			bpf.LoadAbsolute{Off: argument(arg), Size: 4},
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: setID, SkipTrue: 1},
			bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			bpf.LoadAbsolute{Off: offNr, Size: 4})
	}
	for nr, arg := range opens { // the mode counts where a file is made, and stands behind the flags
		out = append(out,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 6},
			bpf.LoadAbsolute{Off: argument(arg), Size: 4},
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.O_CREAT | unix.O_TMPFILE&^unix.O_DIRECTORY, SkipTrue: 3},
			bpf.LoadAbsolute{Off: argument(arg + 1), Size: 4},
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: setID, SkipTrue: 1},
			bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			bpf.LoadAbsolute{Off: offNr, Size: 4})
	}
	return out
}

// confine puts the filter on all threads. It needs no_new_privs.
func confine() error {
	prog, err := filter()
	if err != nil {
		return err
	}
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return err
	}
	fs := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		fs[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	p := unix.SockFprog{Len: uint16(len(fs)), Filter: &fs[0]}
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&p))); e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	return nil
}
