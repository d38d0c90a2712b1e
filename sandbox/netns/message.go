package netns

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Between the parent and the init: the parent says what to do, the init answers
// with the sockets or with an error, the parent says go, and the init closes its
// end, or says why the workload could not be executed.

// An order is what the init is told.
type order struct {
	Spec
	Resolv   []byte
	Hosts    []byte
	Java     bool // its store comes as a descriptor, behind those of the trees
	javaFd   int
	Shown    bool // the working directory is
	Terminal bool
	Hidden   []string // inside
	Kept     []string // inside
	Ports    []string // inside: sockets of the host, which would be ways out
	Trees    []tree
	Rows     uint16
	Cols     uint16
}

// A tree is something of the host that is mounted inside.
type tree struct {
	Source, Target string
	Writable       bool
	Passed         bool // as a descriptor, behind the order
	fd             int
}

const (
	orderSocket = 3
	maxMessage  = 16 << 20
)

// An answer is what the init says.
type answer struct {
	Error string `json:",omitempty"`
	Code  int    `json:",omitempty"`
	// How many descriptors of each kind follow.
	TCP, Explicit, DNS, DNSTCP, Log, Pty int
}

func send(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func receive(r io.Reader, v any) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxMessage {
		return errors.New("the message is too long")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// sendFiles passes descriptors with one byte of their own.
func sendFiles(sock *os.File, fs []int) error {
	return unix.Sendmsg(int(sock.Fd()), []byte{'f'}, unix.UnixRights(fs...), nil, 0)
}

// receiveFiles takes n descriptors, which nothing that is executed inherits.
func receiveFiles(sock *os.File, n int) ([]int, error) {
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4*(n+1)))
	for {
		_, oobn, flags, _, err := unix.Recvmsg(int(sock.Fd()), b, oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(msgs) != 1 || flags&unix.MSG_CTRUNC != 0 {
			return nil, fmt.Errorf("no descriptors came (%v)", err)
		}
		fds, err := unix.ParseUnixRights(&msgs[0])
		if err != nil {
			return nil, err
		}
		if len(fds) != n {
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
			return nil, fmt.Errorf("%d descriptors came instead of %d", len(fds), n)
		}
		return fds, nil
	}
}

// takeTrees takes the descriptors of the trees that the parent cloned.
func (o *order) takeTrees(sock *os.File) error {
	n := 0
	for _, t := range o.Trees {
		if t.Passed {
			n++
		}
	}
	if o.Java {
		n++
	}
	if n == 0 {
		return nil
	}
	fds, err := receiveFiles(sock, n)
	if err != nil {
		return err
	}
	for i := range o.Trees {
		if t := &o.Trees[i]; t.Passed {
			t.fd, fds = fds[0], fds[1:]
		}
	}
	if o.Java {
		o.javaFd = fds[0]
	}
	return nil
}
