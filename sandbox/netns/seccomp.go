package netns

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sallyport/confine"
)

// setID are the bits of a mode that make a program run as its file's owner.
const setID = unix.S_ISUID | unix.S_ISGID

// filter is what a workload's system calls are held against. Address families
// other than these know nothing of network namespaces, or of our rules.
func filter() (*confine.Filter, error) {
	f, err := confine.NewFilter()
	if err != nil {
		return nil, err
	}
	f.Refuse(unix.ENOSYS, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER)
	f.Refuse(unix.EPERM, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_KEXEC_LOAD)
	modes(f)
	// The mode of openat2 is in memory, where no filter looks.
	f.Refuse(unix.ENOSYS, unix.SYS_OPENAT2)
	for _, nr := range []uint32{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR} {
		f.On(nr,
			confine.Argument(0),
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_UNIX, SkipTrue: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 3},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: 1},
			confine.Errno(unix.EAFNOSUPPORT),
			confine.Allow())
	}
	f.Typing()
	return f, nil
}

// modes refuses what would make a file set-user-ID or set-group-ID. On an
// id-mapped mount the file belongs to the directory's owner outside, and whoever
// executes it there would become that, which may be root.
func modes(f *confine.Filter) {
	for nr, arg := range chmods {
		f.On(nr,
			confine.Argument(arg),
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: setID, SkipTrue: 1},
			confine.Errno(unix.EPERM),
			confine.Number())
	}
	for nr, arg := range opens { // the mode counts where a file is made, and stands behind the flags
		f.On(nr,
			confine.Argument(arg),
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.O_CREAT | unix.O_TMPFILE&^unix.O_DIRECTORY, SkipTrue: 3},
			confine.Argument(arg+1),
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: setID, SkipTrue: 1},
			confine.Errno(unix.EPERM),
			confine.Number())
	}
}

// refuseCalls puts the filter on all threads. It needs no_new_privs.
func refuseCalls() error {
	f, err := filter()
	if err != nil {
		return err
	}
	return f.Install(confine.AllThreads)
}
