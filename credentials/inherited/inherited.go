// Package inherited takes secrets from descriptors that this process was started with.
package inherited

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/credentials"
)

// A Source is what a descriptor had. It is safe for concurrent use.
type Source struct {
	fd     int
	secret credentials.Secret
}

var _ credentials.Source = (*Source)(nil)

const (
	maxSize = 64 << 10
	within  = 5 * time.Second // that the writer of a pipe ends
)

// read is what was read of descriptors, each of which can be read once in the life
// of a process.
var (
	mu   sync.Mutex
	read = map[int]credentials.Secret{}
)

// New reads a descriptor to its end and closes it: a pipe, or a file, also one that
// is in memory alone. 0, 1 and 2 are none.
func New(number string, take func([]byte) (credentials.Secret, error)) (*Source, error) {
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 3 || strconv.Itoa(fd) != number {
		return nil, errors.New("a descriptor is a number from 3 on")
	}
	mu.Lock()
	defer mu.Unlock()
	s, ok := read[fd]
	if !ok {
		if s, err = once(fd); err != nil {
			return nil, fmt.Errorf("fd:%d: %w", fd, err)
		}
		read[fd] = s
	}
	credentials.Reveal(s, func(b []byte) { s, err = take(bytes.TrimRight(b, "\r\n")) })
	if err != nil {
		return nil, fmt.Errorf("fd:%d: %w", fd, err)
	}
	return &Source{fd, s}, nil
}

func once(fd int) (credentials.Secret, error) {
	none := func(err error) (credentials.Secret, error) { return credentials.Secret{}, err }
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 { // those of this program itself are all closed at an execution
		return none(errors.New("this process was not started with it"))
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return none(err)
	}
	if f := st.Mode & unix.S_IFMT; f != unix.S_IFREG && f != unix.S_IFIFO {
		return none(errors.New("it is neither a file nor a pipe"))
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return none(err)
	}
	f := os.NewFile(uintptr(fd), "fd:"+strconv.Itoa(fd))
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(within)) // of a file it is not needed
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	defer clear(b)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return none(fmt.Errorf("nobody ended what is written to it within %s", within))
	case err != nil:
		return none(err)
	case len(b) > maxSize:
		return none(fmt.Errorf("it has more than %d bytes", maxSize))
	}
	return credentials.NewKey(b)
}

// Fetch returns the secret: what was read does not change.
func (s *Source) Fetch(context.Context, credentials.Params) (credentials.Value, error) {
	return credentials.Value{Secret: s.secret, Version: "1"}, nil
}

// String names the descriptor.
func (s *Source) String() string { return "fd:" + strconv.Itoa(s.fd) }
