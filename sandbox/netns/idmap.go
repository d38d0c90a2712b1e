package netns

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// ids are whose something is.
type ids struct{ uid, gid int }

// idmaps are the user namespaces that map the owners of what is shown to the
// workload.
type idmaps map[ids]*os.File

func (m idmaps) close() {
	for _, f := range m {
		_ = f.Close()
	}
}

// mapped clones what is at path so that the workload is its owner: what it
// writes there belongs to the owner outside.
func (m idmaps) mapped(path string, uid, gid int, attr uint64) (*os.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	owner := st.Sys().(*syscall.Stat_t)
	fd, err := cloneTree(path)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	if err := setAttr(fd, attr, true); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int(owner.Uid) == uid && int(owner.Gid) == gid {
		return f, nil
	}
	ns, err := m.mapping(ids{int(owner.Uid), int(owner.Gid)}, ids{uid, gid})
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())})
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s cannot be given to the workload (%w): its file system has no id-mapped mounts; work in a directory on ext4, xfs, btrfs or tmpfs, or give the workload's user the directory with --user", path, err)
	}
	return f, nil
}

// hiddenPause is the argument of a process that only holds a user namespace.
const hiddenPause = "__sandbox-pause"

// mapping makes a user namespace in which the ids on the disk are those of the
// workload, or returns the one that was made before. The process that it is made
// with ends at once: the descriptor keeps it.
func (m idmaps) mapping(disk ids, to ids) (*os.File, error) {
	if f := m[disk]; f != nil {
		return f, nil
	}
	cmd := exec.Command("/proc/self/exe", hiddenPause)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: disk.uid, HostID: to.uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: disk.gid, HostID: to.gid, Size: 1}},
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("a user namespace for the mapping: %w", err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
	_ = cmd.Process.Kill()
	_ = in.Close()
	_ = cmd.Wait()
	if err != nil {
		return nil, err
	}
	m[disk] = f
	return f, nil
}

func pause() { _, _ = io.Copy(io.Discard, os.Stdin) }
