package netns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/origin/world"
)

// newNamespace makes a network namespace that ends with the test.
func newNamespace(t testing.TB) *os.File {
	t.Helper()
	type made struct {
		f   *os.File
		err error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread() // and thrown away with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		var f *os.File
		if err == nil {
			f, err = os.Open("/proc/thread-self/ns/net")
		}
		done <- made{f, err}
	}()
	m := <-done
	if m.err != nil {
		t.Fatal(m.err)
	}
	t.Cleanup(func() { _ = m.f.Close() })
	return m.f
}

// inNamespace does something in a namespace.
func inNamespace(t testing.TB, ns *os.File, do func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// sealed are the sockets of a namespace that was sealed, with their descriptors in
// the order of an offer.
func sealed(t testing.TB) (*os.File, *Sockets, offer, []int) {
	t.Helper()
	ns := newNamespace(t)
	s, err := Attach(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	a, b := packets(t)
	if err := s.Offer(a, "token", false); err != nil {
		t.Fatal(err)
	}
	text, oob := make([]byte, maxOffer), make([]byte, 4096)
	n, oobn, _, _, err := b.ReadMsgUnix(text, oob)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := rights(oob[:oobn])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(fds) })
	o, err := parseOffer(text[:n])
	if err != nil {
		t.Fatal(err)
	}
	return ns, s, o, fds
}

// packets are two ends of a connection that keeps messages apart.
func packets(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var cs [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "packets")
		c, err := net.FileConn(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		cs[i] = c.(*net.UnixConn)
		t.Cleanup(func() { _ = c.Close() })
	}
	return cs[0], cs[1]
}

// open counts the descriptors of this process.
func open(t testing.TB) int {
	t.Helper()
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(es)
}

// send offers a text with descriptors, and returns what comes of it.
func sendOffer(t testing.TB, text []byte, fds []int) (s *Sockets, asked int, err error) {
	t.Helper()
	a, b := packets(t)
	defer a.Close()
	defer b.Close()
	if _, _, err := a.WriteMsgUnix(text, unix.UnixRights(fds...), nil); err != nil {
		return nil, 0, fmt.Errorf("not sent: %w", err)
	}
	_ = b.SetDeadline(time.Now().Add(5 * time.Second))
	s, _, err = TakeOffer(b, func(Offering) error { asked++; return nil })
	return s, asked, err
}

// A descriptor that is passed is hostile: hostile 210.
func TestHostileDescriptors(t *testing.T) {
	if !world.Enter(t) {
		return
	}
	ns, _, o, good := sealed(t)
	_, _, _, other := sealed(t)
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var keep []*os.File
	fd := func(n int, err error) int {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		keep = append(keep, os.NewFile(uintptr(n), "hostile"))
		return n
	}
	sock := func(family, typ, protocol int, listen bool) (out int) {
		t.Helper()
		inNamespace(t, ns, func() error {
			s, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC, protocol)
			if err == nil && listen {
				err = unix.Listen(s, 1)
			}
			out = s
			return err
		})
		return fd(out, nil)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	fd(pipe[1], nil)
	own := fd(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	if err := unix.Listen(own, 1); err != nil {
		t.Fatal(err)
	}
	tcp, dns, log := 0, o.TCP+o.Explicit, len(good)-1
	with := func(i, bad int) []int {
		out := slices.Clone(good)
		out[i] = bad
		return out
	}
	type attempt struct {
		fds  []int
		want string
	}
	cases := map[string]attempt{
		"none":                {nil, "0 descriptors came instead of"},
		"one too few":         {good[1:], "descriptors came instead of"},
		"one too many":        {append(slices.Clone(good), good[0]), "descriptors came instead of"},
		"many":                {slices.Repeat(good, 3), "too many descriptors"},
		"far too many":        {slices.Repeat(good, 25), "too many descriptors"},
		"another order":       {append(slices.Clone(good[1:]), good[0]), "descriptor"},
		"a file":              {with(tcp, fd(unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0))), "descriptor 0: it is no Internet socket"},
		"a path":              {with(tcp, fd(unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0))), "it is no Internet socket"},
		"a pipe":              {with(dns, fd(pipe[0], nil)), "it is no Internet socket"},
		"an epoll":            {with(dns, fd(unix.EpollCreate1(unix.EPOLL_CLOEXEC))), "it is no Internet socket"},
		"an event":            {with(log, fd(unix.Eventfd(0, unix.EFD_CLOEXEC))), "it is no netlink socket"},
		"memory":              {with(log, fd(unix.MemfdCreate("x", unix.MFD_CLOEXEC))), "it is no netlink socket"},
		"a process":           {with(tcp, fd(unix.PidfdOpen(os.Getpid(), 0))), "it is no Internet socket"},
		"a namespace":         {with(tcp, int(ns.Fd())), "it is no Internet socket"},
		"a Unix socket":       {with(tcp, sock(unix.AF_UNIX, unix.SOCK_STREAM, 0, false)), "it is no Internet socket"},
		"not listening":       {with(tcp, sock(unix.AF_INET, unix.SOCK_STREAM, 0, false)), "it does not listen"},
		"not transparent":     {with(tcp, sock(unix.AF_INET, unix.SOCK_STREAM, 0, true)), "transparent"},
		"MPTCP":               {with(tcp, sock(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP, true)), "it is of another type"},
		"UDP for TCP":         {with(tcp, good[dns]), "it is of another type"},
		"TCP for UDP":         {with(dns, good[tcp]), "it is of another type"},
		"UDP-Lite":            {with(dns, sock(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE, false)), "it is of another type"},
		"another netlink":     {with(log, sock(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE, false)), "it is not netfilter's"},
		"UDP for the log":     {with(log, good[dns]), "it is no netlink socket"},
		"of our own":          {with(len(good)-2, own), "different namespaces"},
		"the log of another":  {with(log, other[log]), "different namespaces"},
		"the first is other":  {with(tcp, other[tcp]), "different namespaces"},
		"one in the middle":   {with(dns, other[dns]), "different namespaces"},
		"the connection":      {with(tcp, sock(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0, false)), "it is no Internet socket"},
		"all the same":        {slices.Repeat(good[:1], len(good)), "it is of another type"},
		"all of another kind": {slices.Repeat(good[log:], len(good)), "it is no Internet socket"},
	}
	if os.Getuid() == 0 { // others cannot make these
		cases["a raw socket"] = attempt{with(dns, sock(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_UDP, false)), "it is of another type"}
		cases["a packet socket"] = attempt{with(dns, sock(unix.AF_PACKET, unix.SOCK_DGRAM, 0, false)), "it is no Internet socket"}
	}
	before := open(t)
	for name, c := range cases {
		s, asked, err := sendOffer(t, text, c.fds)
		if s != nil || asked != 0 || !errors.Is(err, ErrOffer) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (asked %d times), want %q", name, err, asked, c.want)
		}
	}
	if now := open(t); now != before {
		t.Errorf("%d descriptors are open, %d were", now, before)
	}
	// Nothing of that harmed the good ones.
	s, asked, err := sendOffer(t, text, good)
	if err != nil || asked != 1 {
		t.Fatalf("a good offer: %v, asked %d times", err, asked)
	}
	s.End()
	if now := open(t); now != before {
		t.Errorf("%d descriptors are open, %d were", now, before)
	}
	for _, f := range keep {
		_ = f.Close()
	}
}

// Whoever keeps copies can have what waits on them wait in the kernel, where no
// deadline reaches it: it still ends when it is told to. Hostile 210.
func TestSocketsThatAreMadeToBlockEnd(t *testing.T) {
	if !world.Enter(t) {
		return
	}
	_, _, o, kept := sealed(t)
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		s, _, err := sendOffer(t, text, kept)
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range kept { // the file status flags are the same for all copies
			if err := unix.SetNonblock(fd, false); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		wait := func(do func() error) {
			wg.Go(func() {
				for do() == nil {
				}
			})
		}
		for _, ls := range [][]net.Listener{s.TCP, s.Explicit, s.DNSTCP} {
			for _, l := range ls {
				wait(func() error { _, err := l.Accept(); return err })
			}
		}
		for _, c := range s.DNS {
			wait(func() error {
				n, _, _, _, err := c.ReadMsgUDP(make([]byte, 512), nil)
				if n == 0 && err == nil { // the other side of a shutdown
					err = io.EOF
				}
				return err
			})
		}
		wait(func() error { _, err := s.Log.Read(); return err })
		time.Sleep(50 * time.Millisecond)
		done := make(chan struct{})
		go func() { s.End(); wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatal("what waits on the sockets does not end")
		}
		_, _, o, kept = sealed(t) // those are shut down for good
		if text, err = json.Marshal(o); err != nil {
			t.Fatal(err)
		}
	}
}

// What whoever keeps copies says of a listener is not so of what comes through it:
// closing waits for nobody. Hostile 210.
func TestLingeringIsForgotten(t *testing.T) {
	if !world.Enter(t) {
		return
	}
	ns, _, o, kept := sealed(t)
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := sendOffer(t, text, kept)
	if err != nil {
		t.Fatal(err)
	}
	defer s.End()
	for _, fd := range kept[:o.TCP+o.Explicit] {
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600}); err != nil {
			t.Fatal(err)
		}
	}
	var client net.Conn
	inNamespace(t, ns, func() (err error) { client, err = net.Dial("tcp", "127.0.0.1:3128"); return err })
	defer client.Close()
	c, err := s.Explicit[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, 1<<20)); err != nil { // nobody reads
		_ = c.SetWriteDeadline(time.Now())
	}
	closed := make(chan struct{})
	go func() { _ = c.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(3 * time.Second):
		t.Error("closing waits for whoever does not read")
	}
}
