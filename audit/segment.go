package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A segment is one file of a log. off is where its last durable record ends.
type segment struct {
	f      *os.File
	path   string
	name   string
	off    int64 // of what was written whole
	synced int64 // of what is durable
	failed bool  // nothing more is written to it
}

const (
	segPrefix = "seg-"
	segSuffix = ".ndjson"
)

func createSegment(dir string, first uint64, sp *spare) (*segment, error) {
	name := fmt.Sprintf("%s%020d%s", segPrefix, first, segSuffix)
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, fs.ErrExist) {
		// One that began here and never had a durable record: it counts for nothing.
		if err = os.Rename(path, path+".abandoned"); err == nil {
			f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND|unix.O_CLOEXEC, 0o600)
		}
	}
	if short(err) {
		f, err = sp.take(path)
	}
	if err != nil {
		return nil, err
	}
	return &segment{f: f, path: path, name: name}, nil
}

// write appends. A write that did not go through is taken back, so that the
// segment goes on when the disk does.
func (s *segment) write(b []byte) error {
	n, err := s.f.Write(b)
	if err != nil {
		if n > 0 || errors.Is(err, unix.EIO) {
			if terr := s.f.Truncate(s.off); terr != nil {
				s.failed = true
			}
		}
		return err
	}
	s.off += int64(len(b))
	return nil
}

// sync makes what was written durable. After one that failed nobody can say what
// is on the disk, and the kernel forgets that it failed: the caller gives the
// segment up.
func (s *segment) sync(sync func(*os.File) error) error {
	if s.synced == s.off {
		return nil
	}
	if err := sync(s.f); err != nil {
		return fmt.Errorf("sync %s: %w", s.name, err)
	}
	s.synced = s.off
	return nil
}

// present reports whether the file that is written is still the one in the
// directory.
func (s *segment) present() bool {
	if s == nil {
		return false
	}
	mine, err := s.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(s.path)
	return err == nil && os.SameFile(mine, there) && there.Size() >= s.off
}

// discard takes back a segment that has no durable record.
func (s *segment) discard() {
	_ = s.f.Close()
	_ = os.Remove(s.path)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// segments returns the names of a log's segments in order.
func segments(dir string) ([]string, error) {
	es, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range es {
		if n := e.Name(); strings.HasPrefix(n, segPrefix) && strings.HasSuffix(n, segSuffix) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// keepReserve sets bytes aside that a full disk's last records can have.
func (l *Log) keepReserve() error {
	if l.o.Reserve < 0 {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(l.dir, "reserve"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, l.o.Reserve); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		_ = os.Remove(f.Name())
		return fmt.Errorf("%w: no room for the reserve of %d bytes: %w", ErrUnavailable, l.o.Reserve, err)
	}
	return nil
}

func (l *Log) dropReserve() { _ = os.Remove(filepath.Join(l.dir, "reserve")) }
