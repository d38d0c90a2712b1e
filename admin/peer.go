package admin

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

type actorKey struct{}

// actorConn is a connection with its peer, asked of the kernel when it was made.
type actorConn struct {
	net.Conn
	actor Actor
	once  sync.Once
	left  func()
}

type actorListener struct {
	net.Listener
	may  func(Actor) bool
	room *room
	// strangers are those who are being told that they may not.
	strangers chan struct{}
	refused   func(Actor, string)
}

// A room bounds connections by who made them.
type room struct {
	own uint32 // who runs the server: like root they are never without room for others
	mu  sync.Mutex
	by  map[uint32]int
	all int // of others than root and own
}

// enter makes room for one more connection of a user, if there is some.
func (r *room) enter(uid uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	theirs := uid != 0 && uid != r.own
	if r.by[uid] >= maxConnsOf || theirs && r.all >= maxConns {
		return false
	}
	r.by[uid]++
	if theirs {
		r.all++
	}
	return true
}

func (r *room) leave(uid uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by[uid]--; r.by[uid] == 0 {
		delete(r.by, uid)
	}
	if uid != 0 && uid != r.own {
		r.all--
	}
}

// What is told to whom nothing is kept open here.
const (
	forbidden = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nConnection: close\r\n\r\n" +
		`{"title":"Forbidden","status":403,"code":"forbidden","detail":"this user may not command the sidecar: add it to control.users or its group to control.groups"}` + "\n"
	busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nConnection: close\r\n\r\n" +
		`{"title":"Service Unavailable","status":503,"code":"busy","detail":"too many connections to the sidecar are open, of this user or of all: close some"}` + "\n"
)

func (l actorListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		a, err := Peer(c)
		if err != nil || !l.may(a) {
			if err == nil {
				l.refused(a, Forbidden)
			}
			l.sendAway(c, forbidden)
			continue
		}
		if !l.room.enter(a.UID) {
			l.refused(a, Busy)
			l.sendAway(c, busy)
			continue
		}
		return &actorConn{Conn: c, actor: a, left: func() { l.room.leave(a.UID) }}, nil
	}
}

// sendAway tells a stranger, and does not wait for them: few at once are told.
func (l actorListener) sendAway(c net.Conn, why string) {
	select {
	case l.strangers <- struct{}{}:
	default:
		_ = c.Close()
		return
	}
	go func() {
		defer func() { _ = c.Close(); <-l.strangers }()
		_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = io.WriteString(c, why)
		if u, ok := c.(*net.UnixConn); ok {
			_ = u.CloseWrite()
		}
		_, _ = io.CopyN(io.Discard, c, 64<<10) // so that the answer is not lost with what they sent
	}()
}

// Close makes room for another.
func (c *actorConn) Close() error {
	c.once.Do(c.left)
	return c.Conn.Close()
}

// Connections to the control socket: of one user, and of all but root and whoever
// runs the server, so that nobody keeps these from it.
const (
	maxConnsOf = 64
	maxConns   = 256
)

// Peer is who made a connection on a Unix socket.
func Peer(c net.Conn) (Actor, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Actor{}, errors.New("not a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Actor{}, err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); cerr != nil || err != nil {
		return Actor{}, errors.Join(cerr, err)
	}
	a := Actor{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}
	if a.UID == overflow && !wholeIDs() { // stands for everybody whom this user namespace does not know
		return Actor{}, errors.New("the peer's user is not known in this user namespace")
	}
	return a, nil
}

// overflow is the id that stands for those without one: kernel.overflowuid.
const overflow = 65534

// wholeIDs reports whether ids here are those of the whole system.
func wholeIDs() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(b)), " ") == "0 0 4294967295"
}
