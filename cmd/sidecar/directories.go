package sidecar

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"sallyport/config"
	"sallyport/confine"
)

// prepare makes the directories that serve writes to, for the user that it runs
// as; nil is whoever this is.
func prepare(f *config.File, as *confine.Account) error {
	fp := footprintOf("", f)
	for _, n := range fp.write {
		if err := PrepareDirectory(n.key, n.path, 0o700, as, nil); err != nil {
			return err
		}
	}
	dir := filepath.Dir(f.Control.Socket.S)
	if err := PrepareDirectory("control.socket", dir, 0o755, as, ofSockets); err != nil {
		return err
	}
	if err := PrepareDirectory("control.socket", filepath.Join(dir, enrolDirectory), 0o711, as, ofSockets); err != nil { // not to be listed
		return err
	}
	for _, n := range append(fp.explicit, fp.enrol...) {
		if err := PrepareDirectory(n.key, n.path, 0o755, as, ofSockets); err != nil {
			return err
		}
	}
	return nil
}

// enrolDirectory is beside the control socket.
const enrolDirectory = "enrol"

// ofSockets reports whether an entry is what a directory of sockets has.
func ofSockets(e fs.DirEntry) bool {
	return e.Type()&fs.ModeSocket != 0 || e.IsDir() && e.Name() == enrolDirectory || e.Type().IsRegular() && e.Name() == TokenFile
}

// PrepareDirectory makes a directory that is missing, with those above it. What
// it makes, and what is root's and has nothing in it but what is expected, becomes
// the user's; nothing else changes hands, since who could write there before may
// have put a link to somebody else's file in it.
func PrepareDirectory(key, dir string, mode fs.FileMode, as *confine.Account, expected func(fs.DirEntry) bool) error {
	made := false
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return unmade(key, err)
	}
	switch err := os.Mkdir(dir, mode); {
	case err == nil:
		made = true
	case !errors.Is(err, fs.ErrExist):
		return unmade(key, err)
	}
	if err := firmly(key, dir); err != nil {
		return err
	}
	d, err := given(key, dir, made, as, expected)
	if d == nil {
		return err
	}
	defer d.Close()
	return d.Chown(as.UID, as.GID)
}

// given opens a directory that is to become the user's; nil is one that need not, or
// cannot.
func given(key, dir string, made bool, as *confine.Account, expected func(fs.DirEntry) bool) (_ *os.File, err error) {
	if as == nil || os.Geteuid() != 0 {
		return nil, nil
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	d, err := os.OpenFile(real, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	mine := false
	defer func() {
		if !mine {
			_ = d.Close()
		}
	}()
	st, err := d.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if permits(st, as, 3) {
		return nil, nil
	}
	if st.Sys().(*syscall.Stat_t).Uid != 0 {
		return nil, fmt.Errorf("%s: user %d, as whom serve is to run, may not write the directory %s, which is another user's: chown -R %d:%d %[3]s", key, as.UID, dir, as.UID, as.GID)
	}
	es, err := d.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	for _, e := range es {
		if !made && (expected == nil || !expected(e)) {
			return nil, fmt.Errorf("%s: the directory %s is root's and not empty, and serve is to run as user %d: chown -R %d:%d %s", key, dir, as.UID, as.UID, as.GID, dir)
		}
	}
	mine = true
	return d, nil
}

// unmade says why a directory cannot be made, and what helps.
func unmade(key string, err error) error {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf("%s: %w: name a directory of this user's as %[1]s, or let root start it", key, err)
	}
	return fmt.Errorf("%s: %w", key, err)
}

// firmly refuses a directory below one that everybody may write, where it could be
// moved away and another put in its place.
func firmly(key, dir string) error {
	for up := filepath.Dir(followed(dir)); ; up = filepath.Dir(up) {
		st, err := os.Stat(up)
		if errors.Is(err, fs.ErrNotExist) { // it will be made, for nobody else to write
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if st.Mode().Perm()&0o002 != 0 && st.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("%s: everybody may write the directory %s, and put another in the place of %s: chmod o-w %[2]s", key, up, dir)
		}
		if up == "/" {
			return nil
		}
	}
}

// readable says whose permission is missing while there is somebody to say it.
func readable(file string, as *confine.Account) error {
	if as == nil || os.Geteuid() != 0 {
		return nil
	}
	for p := followed(file); ; p = filepath.Dir(p) {
		st, err := os.Stat(p)
		if err != nil {
			return err
		}
		need := fs.FileMode(1) // to pass through
		if !st.IsDir() {
			need = 4
		}
		if !permits(st, as, need) {
			return fmt.Errorf("user %d, as whom serve is to run, may not read %s (mode %04o of %s): change its owner or group", as.UID, file, st.Mode().Perm(), p)
		}
		if p == "/" {
			return nil
		}
	}
}

// permits reports whether a mode lets an account do something.
func permits(st fs.FileInfo, as *confine.Account, need fs.FileMode) bool {
	sys := st.Sys().(*syscall.Stat_t)
	perm := st.Mode().Perm()
	switch {
	case int(sys.Uid) == as.UID:
		return perm>>6&need == need
	case member(as, int(sys.Gid)):
		return perm>>3&need == need
	}
	return perm&need == need
}

func member(as *confine.Account, gid int) bool {
	if gid == as.GID {
		return true
	}
	for _, g := range as.Groups {
		if g == gid {
			return true
		}
	}
	return false
}
