package netns

import (
	"golang.org/x/sys/unix"

	"sallyport/confine"
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
	if err := confine.LimitCapabilities(confine.AllThreads, own, bounding); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
