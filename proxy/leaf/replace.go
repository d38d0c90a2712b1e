package leaf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// create puts the first key file into dir, unless somebody else did.
func create(dir string, a *authority) error {
	b, err := a.marshal()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, keyFile+".first-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := fill(f, dir, b, 0o600); err != nil {
		return err
	}
	// A link does not replace what is there, as a rename would.
	if err := os.Link(f.Name(), filepath.Join(dir, keyFile)); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w in %s", ErrExists, dir)
	} else if err != nil {
		return err
	}
	return syncDir(dir)
}

// replace makes next what is kept in dir, and destroys the key of old. The order
// makes a stop at any point harmless: what is new is on disk before it has the
// name, and the old key keeps a name until it is overwritten. The first result
// reports whether next is what is found there now.
func replace(dir string, old, next *authority) (bool, error) {
	b, err := next.marshal()
	if err != nil {
		return false, err
	}
	path, temp := filepath.Join(dir, keyFile), filepath.Join(dir, nextFile)
	now, err := load(dir)
	if err != nil {
		return false, err
	}
	if !now.key.Equal(old.key) || !now.ca.Equal(old.ca) {
		return false, fmt.Errorf("%s is not the CA that is in force: restart the sidecar to take it", path)
	}
	if err := tidy(dir); err != nil {
		return false, err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	if err = fill(f, dir, b, 0o600); err == nil {
		err = os.Link(path, filepath.Join(dir, oldFile))
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return false, errors.Join(err, tidy(dir))
	}
	if err := tidy(dir); err != nil {
		return true, fmt.Errorf("the CA was rotated, but its old key may still be on disk: %w", err)
	}
	return true, publish(dir, next)
}

// tidy removes what a rotation leaves when it is stopped. An old key is
// overwritten first, when it surely does not have the name of the key any more: a
// file system that forgets a rename in a crash needs it.
func tidy(dir string) error {
	if next := filepath.Join(dir, nextFile); there(next) {
		if err := os.Remove(next); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, oldFile)
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syncDir(dir); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	key, err := os.Lstat(filepath.Join(dir, keyFile))
	if err != nil {
		return err
	}
	if !os.SameFile(st, key) { // else the rotation did not come to be
		if err := wipe(f); err != nil {
			return err
		}
	}
	return os.Remove(path)
}

// publish keeps the copy of the certificate for people.
func publish(dir string, a *authority) error {
	path := filepath.Join(dir, certFile)
	if b, err := os.ReadFile(path); err == nil && bytes.Equal(b, a.pem()) {
		return nil
	}
	f, err := os.CreateTemp(dir, certFile+".")
	if err != nil {
		return err
	}
	if err = fill(f, dir, a.pem(), 0o644); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// fill writes a new file whole, gives it to the owner of its directory if that is
// ours to do, and closes it.
func fill(f *os.File, dir string, b []byte, mode fs.FileMode) error {
	_, err := f.Write(b)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil && os.Geteuid() == 0 {
		own, derr := ownDirectory(dir)
		if err = derr; err == nil {
			err = f.Chown(int(own.Uid), int(own.Gid))
		}
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// wipe overwrites a file, whatever else its name is. A file system that keeps what
// was overwritten keeps this too.
func wipe(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, st.Size()), 0)
	return errors.Join(err, f.Sync())
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
