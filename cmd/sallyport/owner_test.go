package main

import (
	"os"
	"syscall"
)

// owner is whose a file is, or -1.
func owner(st os.FileInfo) int {
	if st == nil {
		return -1
	}
	return int(st.Sys().(*syscall.Stat_t).Uid)
}
