// Package file copies records to a file or to standard output.
package file

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"sallyport/audit/ship"
	"sallyport/audit/ship/post"
)

// A Sink appends lines. When the file is moved away or removed, as logrotate
// does, it is made anew. It is for one goroutine.
type Sink struct {
	path string // "" is standard output
	f    *os.File
}

var _ ship.Sink = (*Sink)(nil)

// New makes one that appends to a file, which it makes when it is not there.
func New(path string) *Sink { return &Sink{path: path} }

// Stdout makes one that writes to standard output.
func Stdout() *Sink { return &Sink{f: os.Stdout} }

// Send appends a batch and makes it durable.
func (s *Sink) Send(_ context.Context, rs []ship.Record) error {
	if s.path == "" {
		_, err := s.f.Write(post.Lines(rs))
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	st, err := s.f.Stat()
	if err != nil {
		return err
	}
	if _, err := s.f.Write(post.Lines(rs)); err != nil {
		_ = s.f.Truncate(st.Size()) // half a line would be joined to what comes next
		return err
	}
	return s.f.Sync()
}

func (s *Sink) open() error {
	if s.f != nil {
		mine, err := s.f.Stat()
		if err == nil {
			if there, err := os.Stat(s.path); err == nil && os.SameFile(mine, there) {
				return nil
			}
		}
		_ = s.Close()
	}
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o640)
	if err != nil {
		return err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		_ = f.Close()
		return fmt.Errorf("%s is not a regular file", s.path)
	}
	s.f = f
	return nil
}

// Close closes the file.
func (s *Sink) Close() error {
	if s.f == nil || s.path == "" {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}

// String names the file.
func (s *Sink) String() string {
	if s.path == "" {
		return "stdout"
	}
	return "file " + s.path
}
