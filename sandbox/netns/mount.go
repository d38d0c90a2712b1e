package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Helpers over the mount API of Linux 5.2 and 5.12: a tree is cloned as a
// descriptor, given its attributes, and only then attached.

const guarded = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV

// cloneTree takes what is at path with everything mounted below it.
func cloneTree(path string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", path, err)
	}
	return fd, nil
}

// setAttr sets attributes on a tree; ones that are set stay set.
func setAttr(fd int, attr uint64, recursive bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: attr})
}

// attach puts a tree at path.
func attach(fd int, path string) error {
	defer func() { _ = unix.Close(fd) }()
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// bind shows source at target.
func bind(source, target string, attr uint64) error {
	fd, err := cloneTree(source)
	if err != nil {
		return err
	}
	if err := setAttr(fd, attr, true); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("%s: %w", source, err)
	}
	return attach(fd, target)
}

// tmpfs makes an empty file system.
func tmpfs(options ...string) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("tmpfs: %w", err)
	}
	defer func() { _ = unix.Close(fs) }()
	for i := 0; i+1 < len(options); i += 2 {
		if err := unix.FsconfigSetString(fs, options[i], options[i+1]); err != nil {
			return -1, fmt.Errorf("tmpfs %s: %w", options[i], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("tmpfs: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, guarded)
	if err != nil {
		return -1, fmt.Errorf("tmpfs: %w", err)
	}
	return fd, nil
}

// mountTmpfs makes an empty directory with a file system of its own at path.
func mountTmpfs(path, mode, size string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	fd, err := tmpfs("mode", mode, "size", size)
	if err != nil {
		return err
	}
	return attach(fd, path)
}

// placeFor makes a directory or an empty file for something to be mounted on.
func placeFor(dir bool, target string) error {
	if dir {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS) {
		if _, serr := os.Stat(target); serr == nil {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return f.Close()
}
