package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
	"sallyport/sandbox/netns"
)

// descriptors returns how many a process has.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	es, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(es)
}

// shared returns how many of these sockets a process has.
func shared(t *testing.T, pid int, fds []int) (n int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			if to, _ := os.Readlink(filepath.Join(dir, e.Name())); to == fmt.Sprintf("socket:[%d]", st.Ino) {
				n++
			}
		}
	}
	return n
}

// offering is what an offer of these sockets says, and its descriptors.
func offering(t *testing.T, s *netns.Sockets, token string) (string, []int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fds[0]) }()
	f := os.NewFile(uintptr(fds[1]), "pair")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := s.Offer(c.(*net.UnixConn), token, false); err != nil {
		t.Fatal(err)
	}
	text, oob := make([]byte, 4096), make([]byte, 1024)
	n, oobn, _, _, err := unix.Recvmsg(fds[0], text, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	ms, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(ms) != 1 {
		t.Fatal(ms, err)
	}
	out, err := unix.ParseUnixRights(&ms[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range out {
			_ = unix.Close(fd)
		}
	})
	return string(text[:n]), out
}

// The enrol socket of a sidecar that serves others survives what is sent to it:
// messages that are none, descriptors that are others, and sockets that whoever
// has copies makes to block. Hostile 210.
func TestEnrolSocketSurvives(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "ip", "iproute2")
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "user: \"23456\"\n")
	client := admin.NewClient(s.control)
	name := fmt.Sprintf("sphostile%d", os.Getpid())
	attachable(t, name)
	ns, err := os.Open("/run/netns/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	socks, err := netns.Attach(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer socks.Close()
	pid := s.b.cmd.Process.Pid
	baseline := descriptors(t, pid)
	made, err := client.Create(t.Context(), admin.Create{Name: "victim", Way: "attach"})
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string, fds ...int) string {
		t.Helper()
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: made.Ticket.Socket, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, _, err := c.WriteMsgUnix([]byte(text), unix.UnixRights(fds...), nil); err != nil {
			return err.Error()
		}
		b := make([]byte, 64<<10)
		n, err := c.Read(b)
		if err != nil {
			return err.Error()
		}
		return string(b[:n])
	}
	text, good := offering(t, socks, made.Ticket.Token)
	null := int(mustOpen(t, "/dev/null").Fd())
	rnd := rand.New(rand.NewPCG(3, 6))
	refused := 0
	for i := range 300 {
		b, fds := []byte(text), slices.Clone(good)
		switch i % 4 {
		case 0: // a byte that is another
			b[rnd.IntN(len(b))] ^= byte(1 + rnd.IntN(255))
		case 1: // cut, or more
			b = append(b[:rnd.IntN(len(b))], []byte(text)[:rnd.IntN(len(text))]...)
		case 2: // other descriptors
			fds[rnd.IntN(len(fds))] = null
		case 3: // another number of them
			fds = slices.Repeat(fds, 30)[:rnd.IntN(250)]
			if len(fds) == len(good) {
				continue
			}
		}
		if string(b) == text && slices.Equal(fds, good) || json.Valid(b) && strings.Contains(string(b), made.Ticket.Token) && slices.Equal(fds, good) {
			continue // it may be taken
		}
		if got := say(string(b), fds...); strings.Contains(got, `"name"`) {
			t.Fatalf("%q with %v is taken: %s", b, fds, got)
		}
		refused++
	}
	if refused < 200 {
		t.Errorf("only %d were sent", refused)
	}
	for range 20 { // who says nothing keeps nobody out
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: made.Ticket.Socket, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	until(t, "what came is closed again", func() bool { return descriptors(t, pid) <= baseline+4 })
	u := p.https("api.example.com", "/echo")
	if out := s.enrolled([]string{"--name", "other"}, "curl -sS "+u); !strings.Contains(out.stdout, `"Method":"GET"`) {
		t.Errorf("another sandbox is not served: %+v", out)
	}
	if got := say(text, good...); !strings.Contains(got, `"name":"victim"`) {
		t.Fatalf("the good offer is not taken: %s", got)
	}
	if got := say(text, good...); !strings.Contains(got, "the token is not the one") {
		t.Errorf("the token is good twice: %s", got)
	}
	if n := shared(t, pid, good); n != len(good) {
		t.Errorf("it has %d of %d sockets", n, len(good))
	}
	ca := filepath.Join(filepath.Dir(p.dir), "victim.pem")
	if err := os.WriteFile(ca, []byte(made.Ticket.CA), 0o644); err != nil {
		t.Fatal(err)
	}
	get := func() string {
		out, _ := exec.Command("ip", "netns", "exec", name, "curl", "-sS", "-m", "10", "--cacert", ca, "--resolve", fmt.Sprintf("api.example.com:%d:198.51.100.7", p.origin.TLSPort), u).CombinedOutput()
		return string(out)
	}
	if out := get(); !strings.Contains(out, `"Method":"GET"`) {
		t.Errorf("it is not served: %s", out)
	}
	for _, fd := range good {
		if err := errors.Join(unix.SetNonblock(fd, false), ignoring(unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600}))); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // after each of these it waits in the kernel for the next
		_ = exec.Command("ip", "netns", "exec", name, "bash", "-c", "echo x > /dev/udp/192.0.2.1/9; echo x > /dev/udp/192.0.2.1/53").Run()
		if out := get(); !strings.Contains(out, `"Method":"GET"`) {
			t.Errorf("with sockets that block it is not served: %s", out)
		}
	}
	if out := s.enrolled([]string{"--name", "third"}, "curl -sS "+u); !strings.Contains(out.stdout, `"Method":"GET"`) {
		t.Errorf("another sandbox is not served: %+v", out)
	}
	begin := time.Now()
	if err := client.Remove(t.Context(), "victim"); err != nil || time.Since(begin) > 3*time.Second {
		t.Errorf("removing it takes %v: %v", time.Since(begin), err)
	}
	until(t, "all of it is closed", func() bool { return shared(t, pid, good) == 0 })
	begin = time.Now()
	s.stop()
	if d := time.Since(begin); d > 4*time.Second {
		t.Errorf("stopping takes %v", d)
	}
	if n := len(p.find(map[string]string{"event.name": "egress.sandbox.enrol_refused", "sandbox.name": "victim"})); n < 3 {
		t.Errorf("%d kinds of refusals are recorded", n)
	}
}

// ignoring is nil for what is not a socket of that kind.
func ignoring(err error) error {
	if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}
