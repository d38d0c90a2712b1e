package confine

import "golang.org/x/sys/unix"

// Calls that this architecture has beside those of all.
var (
	refusedHere = []uint32{unix.SYS_KEXEC_FILE_LOAD}
	forks       []uint32
)
