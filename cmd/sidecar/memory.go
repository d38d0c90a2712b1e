package sidecar

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// unlimited is what a limit is beyond which it is none: cgroup v1 says it so.
const unlimited = math.MaxInt64 / 2

// limitMemory makes the garbage collector heed the memory limit of the cgroup, less
// a tenth for what is not the heap, unless GOMEMLIMIT says otherwise. It returns the
// limit that it set, 0 when there is none to set.
func limitMemory() int64 {
	if _, set := os.LookupEnv("GOMEMLIMIT"); set {
		return 0
	}
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	limit := memoryOf("/sys/fs/cgroup", string(self))
	if limit == 0 {
		return 0
	}
	limit -= limit / 10
	debug.SetMemoryLimit(limit)
	return limit
}

// memoryOf is the smallest memory limit of a process whose /proc/PID/cgroup is self,
// from its own cgroup up to the root: version 2, and the memory controller of
// version 1. 0 is none.
func memoryOf(root, self string) (limit int64) {
	for line := range strings.Lines(self) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		top, name := root, "memory.max"
		if f[0] != "0" {
			top, name = filepath.Join(root, "memory"), "memory.limit_in_bytes"
			if f[1] != "memory" {
				continue
			}
		}
		for dir := filepath.Clean("/" + f[2]); ; dir = filepath.Dir(dir) {
			if b, err := os.ReadFile(filepath.Join(top, dir, name)); err == nil {
				n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
				if err == nil && n > 0 && n < unlimited && (limit == 0 || n < limit) {
					limit = n
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit
}
