// Package file takes secrets from files, and again when they change.
package file

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"sallyport/credentials"
)

// maxSize is more than any token has.
const maxSize = 64 << 10

// A Source is one file. It is read when it changed, with its links followed anew
// each time, as mounted secrets are replaced. It is safe for concurrent use.
type Source struct {
	path string
	take func([]byte) (credentials.Secret, error)

	mu      sync.Mutex
	secret  credentials.Secret
	stamp   stamp
	version int
}

var _ credentials.Source = (*Source)(nil)

// stamp tells one content of a file from the next.
type stamp struct {
	mod  time.Time
	size int64
	ino  uint64
}

// New reads a file. A relative path is made absolute.
func New(path string) (*Source, error) {
	return open(path, func(b []byte) (credentials.Secret, error) { return credentials.NewSecret(bytes.TrimRight(b, "\r\n")) })
}

// NewKey is New of what is never put on a request, such as a private key.
func NewKey(path string) (*Source, error) {
	return open(path, func(b []byte) (credentials.Secret, error) { return credentials.NewKey(bytes.TrimRight(b, "\r\n")) })
}

// NewDocument is NewKey of a file that is taken to the last byte.
func NewDocument(path string) (*Source, error) { return open(path, credentials.NewKey) }

func open(path string, take func([]byte) (credentials.Secret, error)) (*Source, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	s := &Source{path: abs, take: take}
	if _, err := s.Fetch(context.Background(), nil); err != nil {
		return nil, err
	}
	return s, nil
}

// Fetch returns the content, without the line end behind it unless it is a document.
func (s *Source) Fetch(context.Context, credentials.Params) (credentials.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fail := func(err error) (credentials.Value, error) {
		return credentials.Value{}, fmt.Errorf("file:%s: %w", s.path, err)
	}
	f, err := os.OpenFile(s.path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe shall not hold us
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	if !st.Mode().IsRegular() {
		return fail(fmt.Errorf("this is not a regular file"))
	}
	if st.Mode().Perm()&0o002 != 0 {
		return fail(fmt.Errorf("everybody may write this file: chmod 600 it"))
	}
	now := stamp{st.ModTime(), st.Size(), inode(st)}
	if now == s.stamp {
		return credentials.Value{Secret: s.secret, Version: fmt.Sprint(s.version)}, nil
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return fail(err)
	}
	if len(b) > maxSize {
		return fail(fmt.Errorf("it is larger than %d bytes", maxSize))
	}
	secret, err := s.take(b)
	clear(b)
	if err != nil {
		return fail(err)
	}
	if !secret.Equal(s.secret) {
		s.version++
	}
	s.secret, s.stamp = secret, now
	return credentials.Value{Secret: secret, Version: fmt.Sprint(s.version)}, nil
}

// String names the file.
func (s *Source) String() string { return "file:" + s.path }

// Path returns the file, so that it is never shown to a sandbox.
func (s *Source) Path() string { return s.path }

func inode(st os.FileInfo) uint64 {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
