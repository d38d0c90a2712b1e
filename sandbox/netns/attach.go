package netns

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNotSealable means that a namespace has ways out that sealing would not close.
var ErrNotSealable = errors.New("the namespace cannot be sealed")

// OfProcess opens the network namespace of a process. The process is held by a
// descriptor meanwhile, so that no other of its number is taken for it.
func OfProcess(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	if err := unix.PidfdSendSignal(fd, 0, nil, 0); err != nil && !errors.Is(err, unix.EPERM) { // whose it is does not matter
		_ = f.Close()
		return nil, fmt.Errorf("process %d has ended: %w", pid, err)
	}
	return f, nil
}

// Open opens the network namespace at a path, such as one that ip-netns(8) made.
func Open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := isNetwork(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func isNetwork(ns *os.File) error {
	if typ, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_NSTYPE); err != nil || typ != unix.CLONE_NEWNET {
		return fmt.Errorf("%s is no network namespace", ns.Name())
	}
	return nil
}

// Attach seals a network namespace that somebody else made, and returns its
// sockets. It needs NET_ADMIN and SYS_ADMIN over it. A namespace with an
// interface beside its loopback, or with a connection, is not sealable: what is there already would go on.
func Attach(ns *os.File) (*Sockets, error) {
	if err := isNetwork(ns); err != nil {
		return nil, err
	}
	own, err := ownCookie()
	if err != nil {
		return nil, err
	}
	var m *made
	if err := inside(ns, own, func() (err error) { m, err = sealHere(); return err }); err != nil {
		return nil, err
	}
	return m.sockets()
}

// sealHere seals the namespace of this thread.
func sealHere() (*made, error) {
	if err := sealable(); err != nil {
		return nil, err
	}
	if err := loopback(); err != nil {
		return nil, err
	}
	m, err := listen()
	if errors.Is(err, unix.EADDRINUSE) { // before its rules are touched
		return nil, fmt.Errorf("%w: somebody serves it already: %w", ErrNotSealable, err)
	} else if err != nil {
		return nil, err
	}
	if err := forgetRules(); err != nil {
		return nil, err
	}
	return m, rules(false)
}

// sockets makes Go's own of what was made in this process.
func (m *made) sockets() (*Sockets, error) {
	for _, fd := range m.fds {
		unix.CloseOnExec(fd)
	}
	var fds []int
	for _, fd := range m.fds { // what m keeps is closed with it
		d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		fds = append(fds, d)
	}
	for _, k := range m.keep {
		_ = k.(*os.File).Close()
	}
	_ = unix.Close(m.fds[len(m.fds)-1]) // of the packet log, which nothing keeps
	for _, fd := range fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, err
		}
	}
	s, _, err := wrap(m.answer, fds)
	return s, err
}

// fallbacks are the interfaces, and tunnels their kinds, that the kernel puts into
// every namespace. They lead nowhere that the namespace does not, and are down. Any
// other that is down could be brought up later.
var (
	fallbacks = []string{"tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "sit0", "ip6tnl0", "ip6gre0", "ip6_vti0"}
	tunnels   = []string{"ipip", "gre", "gretap", "erspan", "vti", "sit", "ip6tnl", "ip6gre", "ip6gretap", "vti6"}
)

// sealable looks at the namespace of this thread.
func sealable() error {
	ls, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range ls {
		if a := l.Attrs(); a.Flags&net.FlagLoopback == 0 && (a.Flags&net.FlagUp != 0 || !slices.Contains(fallbacks, a.Name) || !slices.Contains(tunnels, l.Type())) {
			return fmt.Errorf("%w: it has the interface %s: make it without a network (network_mode: none)", ErrNotSealable, a.Name)
		}
	}
	for _, f := range []string{"tcp", "tcp6"} {
		r, err := os.Open("/proc/thread-self/net/" + f)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			if fields := strings.Fields(lines.Text()); len(fields) > 3 && fields[3] == "01" { // TCP_ESTABLISHED
				_ = r.Close()
				return fmt.Errorf("%w: a connection is open in it, which would go on", ErrNotSealable)
			}
		}
		_ = r.Close()
	}
	return nil
}

// forgetRules takes the rules of an earlier sealing away.
func forgetRules() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	ts, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return err
	}
	for _, t := range ts {
		if t.Name == tableName {
			c.DelTable(t)
			return c.Flush()
		}
	}
	return nil
}
