package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// unixListener makes a Unix socket at path, of a mode, in place of one that nobody
// serves. The directory has to be one in which nobody else can put something in the
// socket's place. To one for another owner (-1 is us) anybody can connect, since it
// cannot be given away: the caller asks the kernel who does.
func unixListener(network, path string, mode fs.FileMode, owner int) (*net.UnixListener, error) {
	stale, err := vacant(network, path)
	if err == nil && stale {
		err = os.Remove(path)
	}
	if err != nil {
		return nil, err
	}
	if owner >= 0 && owner != os.Getuid() {
		mode = 0o666
	}
	var made error
	// The mode of the socket becomes that of its file: afterwards it cannot be changed.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		err := c.Control(func(fd uintptr) { made = unix.Fchmod(int(fd), uint32(mode)) })
		return errors.Join(err, made)
	}}
	l, err := lc.Listen(context.Background(), network, path)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// vacant says why a socket cannot be made at path, whose directory it makes. What is
// stale is one that nobody serves.
func vacant(network, path string) (stale bool, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	if err := ownDirectory(dir); err != nil {
		return false, err
	}
	if err := fitting(path); err != nil {
		return false, err
	}
	switch st, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case st.Mode()&fs.ModeSocket == 0:
		return false, fmt.Errorf("%s is there and is no socket", path)
	}
	if c, err := net.DialTimeout(network, path, time.Second); err == nil {
		_ = c.Close()
		return false, fmt.Errorf("%s is served by another process", path)
	}
	return true, nil
}

// maxSocketPath is how long the path of a socket may be (unix(7)).
const maxSocketPath = 107

// fitting refuses a path that the kernel does not take for a socket.
func fitting(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("%s has %d bytes, and the path of a socket has at most %d: use a shorter one", path, len(path), maxSocketPath)
	}
	return nil
}

// ownDirectory refuses a directory that somebody else than root and us can write.
func ownDirectory(dir string) error { return directoryOf(dir, os.Getuid()) }

func directoryOf(dir string, uid int) error {
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || sys.Uid != 0 && int(sys.Uid) != uid || st.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others can write the directory %s, and could put something in the place of a socket: use one that belongs to root or to the sidecar's user, and is writable by nobody else", dir)
	}
	return nil
}

// handOver makes a file appear that belongs to one user.
func handOver(path, text string, owner int) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }()
	if owner != os.Getuid() {
		if err := f.Chown(owner, -1); err != nil { // the kernel says who enrols, all the same
			err = f.Chmod(0o644)
			if err != nil {
				return err
			}
		}
	}
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}
