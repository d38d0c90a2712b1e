package confine

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

// Argument loads the low half of the nth argument of a call, from 0 on.
func Argument(n uint32) bpf.Instruction {
	return bpf.LoadAbsolute{Off: offArg0 + 8*n, Size: 4}
}

// Number loads the number of a call.
func Number() bpf.Instruction { return bpf.LoadAbsolute{Off: offNr, Size: 4} }

// Errno ends a filter: the call fails with e.
func Errno(e unix.Errno) bpf.Instruction {
	return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(e)}
}

// Allow ends a filter: the call is made.
func Allow() bpf.Instruction { return bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW} }

// x32 calls carry this bit: they would be another set of numbers.
const x32 = 0x40000000

// A Filter is what system calls are held against, from front to back. Between its
// parts the number of the call is loaded. What none of them ends is allowed.
type Filter struct{ ins []bpf.Instruction }

// NewFilter returns a filter by which calls of another architecture do not exist.
func NewFilter() (*Filter, error) {
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if arch == 0 {
		return nil, fmt.Errorf("there is no system call filter for %s", runtime.GOARCH)
	}
	return &Filter{[]bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: arch, SkipTrue: 1},
		Errno(unix.ENOSYS),
		Number(),
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: x32, SkipTrue: 1},
		Errno(unix.ENOSYS),
	}}, nil
}

// Refuse lets calls fail with e.
func (f *Filter) Refuse(e unix.Errno, nrs ...uint32) {
	for _, nr := range nrs {
		f.ins = append(f.ins, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 1}, Errno(e))
	}
}

// On adds instructions that are for one call alone, and leave its number loaded
// if they do not end the filter.
func (f *Filter) On(nr uint32, ins ...bpf.Instruction) {
	f.ins = append(append(f.ins, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: uint8(len(ins))}), ins...)
}

// Typing refuses what types into a terminal on behalf of whoever sits there.
func (f *Filter) Typing() {
	f.On(unix.SYS_IOCTL,
		Argument(1),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCSTI, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.TIOCLINUX, SkipTrue: 1},
		Errno(unix.EPERM),
		Number())
}

// Install puts the filter on threads, for good. It needs no_new_privs.
func (f *Filter) Install(on Threads) error {
	raw, err := bpf.Assemble(append(f.ins[:len(f.ins):len(f.ins)], Allow()))
	if err != nil {
		return err
	}
	fs := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		fs[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	p := unix.SockFprog{Len: uint16(len(fs)), Filter: &fs[0]}
	flags := uintptr(0)
	if on == AllThreads {
		flags = unix.SECCOMP_FILTER_FLAG_TSYNC
	}
	if n, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&p))); e != 0 || n != 0 {
		return fmt.Errorf("seccomp: %w (thread %d)", e, n)
	}
	return nil
}
