package netns

import "golang.org/x/sys/unix"

// The calls that give a file a mode, by the number of the argument that is it,
// and those whose flags say whether it counts, by the number of the flags.
var (
	chmods = map[uint32]uint32{unix.SYS_FCHMOD: 1, unix.SYS_FCHMODAT: 2, unix.SYS_FCHMODAT2: 2, unix.SYS_MKNODAT: 2}
	opens  = map[uint32]uint32{unix.SYS_OPENAT: 2}
)
