package audit

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// spareFile has the name of a segment that is open before it is needed.
const spareFile = "next"

// A spare is what the next segment takes when there is no descriptor left: a file that
// is open already, and the directory.
type spare struct {
	f   *os.File
	dir *os.File
}

// keep has a spare, if there is a descriptor for it. It is called when one may be free.
func (s *spare) keep(dir string) {
	if s.dir == nil {
		s.dir, _ = os.Open(dir)
	}
	if s.f == nil {
		path := filepath.Join(dir, spareFile)
		_ = os.Remove(path)
		s.f, _ = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND|unix.O_CLOEXEC, 0o600)
	}
}

// take gives the spare file a segment's name, which nothing may have.
func (s *spare) take(path string) (*os.File, error) {
	f := s.f
	if s.f = nil; f == nil {
		return nil, unix.EMFILE
	}
	at := filepath.Join(filepath.Dir(path), spareFile)
	mine, err := f.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Lstat(at); err == nil && (!os.SameFile(mine, there) || there.Size() > 0) {
			err = errors.New("the spare segment is another file")
		}
	}
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sync makes names in the directory durable.
func (s *spare) sync(dir string) error {
	err := syncDir(dir)
	if short(err) && s.dir != nil {
		return s.dir.Sync()
	}
	return err
}

func (s *spare) close(dir string) {
	if s.f != nil {
		_ = s.f.Close()
		_ = os.Remove(filepath.Join(dir, spareFile))
	}
	if s.dir != nil {
		_ = s.dir.Close()
	}
	*s = spare{}
}

// short reports whether there was no descriptor.
func short(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }
