package netns

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// nodes are the devices of a sandbox: none of them is of the machine's.
var nodes = []string{"null", "zero", "full", "random", "urandom", "tty"}

func cloneDevices() (map[string]int, error) {
	out := map[string]int{}
	for _, n := range nodes {
		fd, err := cloneTree("/dev/" + n)
		if err != nil {
			return nil, err
		}
		if err := setAttr(fd, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, false); err != nil {
			return nil, err
		}
		out[n] = fd
	}
	return out, nil
}

// devices makes /dev: the nodes, terminals of its own, and shared memory.
func devices(dev string, fds map[string]int, o *order) (*os.File, error) {
	if err := mountTmpfs(dev, "755", "64k"); err != nil {
		return nil, err
	}
	for n, fd := range fds {
		p := filepath.Join(dev, n)
		if err := placeFor(false, p); err != nil {
			return nil, err
		}
		if err := attach(fd, p); err != nil {
			return nil, err
		}
	}
	pts := filepath.Join(dev, "pts")
	if err := os.Mkdir(pts, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"); err != nil {
		return nil, fmt.Errorf("devpts: %w", err)
	}
	if err := mountTmpfs(filepath.Join(dev, "shm"), "1777", "50%"); err != nil {
		return nil, err
	}
	for _, l := range [][2]string{{"pts/ptmx", "ptmx"}, {"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}} {
		if err := os.Symlink(l[0], filepath.Join(dev, l[1])); err != nil {
			return nil, err
		}
	}
	if !o.Terminal {
		return nil, nil
	}
	fd, err := unix.Open(filepath.Join(pts, "ptmx"), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("ptmx: %w", err)
	}
	return os.NewFile(uintptr(fd), "ptmx"), nil
}

// openTerminal opens the other side of a terminal, as the workload's.
func openTerminal(ptmx *os.File, o *order) (*os.File, error) {
	fd := int(ptmx.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, err
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, err
	}
	if o.Rows > 0 {
		_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: o.Rows, Col: o.Cols})
	}
	return os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
}
