package netns

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// An offer is the one message with which the sockets of a namespace are handed
// to whoever serves them. Both the message and the descriptors are hostile to
// the one who takes it: they come from where the workload may be.
type offer struct {
	Token string `json:"token"`
	Hold  bool   `json:"hold,omitempty"`
	// How many descriptors of each kind come with it, in this order.
	TCP, Explicit, DNS, DNSTCP, Log int
}

const (
	maxOffer   = 4 << 10
	maxOffered = 16 // descriptors
)

// ErrOffer means that what was offered is not the sockets of a sealed namespace.
var ErrOffer = errors.New("the offer is not taken")

// An Offering is what is said with an offer, before the sockets are used.
type Offering struct {
	Token string
	// Hold says that whoever offers keeps the sockets, and the connection, for as
	// long as the namespace lives, and offers them again to a sidecar that started anew.
	Hold bool
	// Cookie is of the network namespace: SO_NETNS_COOKIE, the same for as long as
	// that exists and no other's before the next boot. It is the kernel's word.
	Cookie uint64
}

// Offer hands the sockets over on a connection of type unixpacket. They stay
// open here too.
func (s *Sockets) Offer(c *net.UnixConn, token string, hold bool) error {
	o := offer{Token: token, Hold: hold, TCP: len(s.TCP), Explicit: len(s.Explicit), DNS: len(s.DNS), DNSTCP: len(s.DNSTCP), Log: 1}
	var raws []syscall.Conn
	for _, ls := range [][]net.Listener{s.TCP, s.Explicit} {
		for _, l := range ls {
			raws = append(raws, l.(syscall.Conn))
		}
	}
	for _, d := range s.DNS {
		raws = append(raws, d)
	}
	for _, l := range s.DNSTCP {
		raws = append(raws, l.(syscall.Conn))
	}
	raws = append(raws, s.Log.f)
	var fds []int
	defer func() { closeAll(fds) }()
	for _, r := range raws {
		rc, err := r.SyscallConn()
		if err != nil {
			return err
		}
		var fd int
		if cerr := rc.Control(func(u uintptr) { fd, err = unix.FcntlInt(u, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil || err != nil {
			return errors.Join(cerr, err)
		}
		fds = append(fds, fd)
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, _, err = c.WriteMsgUnix(text, unix.UnixRights(fds...), nil)
	return err
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// TakeOffer reads one offer. It returns the sockets, which the caller closes.
// allowed is asked before anything of the sockets is used.
func TakeOffer(c *net.UnixConn, allowed func(Offering) error) (*Sockets, Offering, error) {
	var of Offering
	text, oob := make([]byte, maxOffer+1), make([]byte, unix.CmsgSpace(4*(maxOffered+1)))
	n, oobn, flags, _, err := c.ReadMsgUnix(text, oob)
	if err != nil {
		return nil, of, err
	}
	fds, err := rights(oob[:oobn])
	taken := false
	defer func() {
		if !taken {
			closeAll(fds)
		}
	}()
	refuse := func(format string, a ...any) (*Sockets, Offering, error) {
		return nil, of, fmt.Errorf("%w: "+format, append([]any{ErrOffer}, a...)...)
	}
	switch {
	case err != nil:
		return refuse("%w", err)
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || n > maxOffer:
		return refuse("it is too long")
	}
	o, err := parseOffer(text[:n])
	if err != nil {
		return refuse("%w", err)
	}
	if want := o.TCP + o.Explicit + o.DNS + o.DNSTCP + o.Log; want != len(fds) {
		return refuse("%d descriptors came instead of %d", len(fds), want)
	}
	of.Token, of.Hold = o.Token, o.Hold
	if of.Cookie, err = o.check(fds); err != nil {
		return refuse("%w", err)
	}
	if err := allowed(of); err != nil {
		return nil, of, err
	}
	for _, fd := range fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			return refuse("%w", err)
		}
	}
	taken = true // wrap closes them
	s, _, err := wrap(answer{TCP: o.TCP, Explicit: o.Explicit, DNS: o.DNS, DNSTCP: o.DNSTCP, Log: o.Log}, fds)
	return s, of, err
}

// parseOffer reads the text, strictly.
func parseOffer(text []byte) (offer, error) {
	var o offer
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, errors.New("it is not an offer")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("something stands behind it")
	}
	if o.TCP < 1 || o.TCP > 2 || o.Explicit < 0 || o.Explicit > 2 || o.DNS < 1 || o.DNS > 2 || o.DNSTCP < 1 || o.DNSTCP > 2 || o.Log != 1 {
		return o, errors.New("it does not have the sockets of a sealed namespace")
	}
	return o, nil
}

// rights are the descriptors of a message; they are closed by the caller also
// when there is an error.
func rights(oob []byte) (fds []int, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range msgs { // all, since what came is open
		got, gotErr := unix.ParseUnixRights(&msgs[i])
		fds, err = append(fds, got...), errors.Join(err, gotErr)
	}
	if len(fds) > maxOffered {
		err = errors.Join(err, errors.New("too many descriptors"))
	}
	return fds, err
}

// check finds out of each descriptor whether it is what it is said to be, and
// whether all are of one namespace that is not our own.
func (o offer) check(fds []int) (cookie uint64, err error) {
	kinds := make([]func(int) error, 0, len(fds))
	add := func(n int, kind func(int) error) {
		for range n {
			kinds = append(kinds, kind)
		}
	}
	add(o.TCP, func(fd int) error { return errors.Join(listening(fd), transparent(fd)) })
	add(o.Explicit, listening)
	add(o.DNS, func(fd int) error { return socket(fd, unix.SOCK_DGRAM, unix.IPPROTO_UDP, 0) })
	add(o.DNSTCP, listening)
	add(o.Log, func(fd int) error {
		if d, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || d != unix.AF_NETLINK {
			return errors.New("it is no netlink socket")
		}
		if p, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err != nil || p != unix.NETLINK_NETFILTER {
			return errors.New("it is not netfilter's")
		}
		return nil
	})
	for i, fd := range fds {
		if err := kinds[i](fd); err != nil {
			return 0, fmt.Errorf("descriptor %d: %w", i, err)
		}
		c, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		if err != nil {
			return 0, fmt.Errorf("descriptor %d has no cookie of its namespace (Linux 5.14 has them): %w", i, err)
		}
		if i > 0 && c != cookie {
			return 0, errors.New("the descriptors are of different namespaces")
		}
		cookie = c
	}
	own, err := ownCookie()
	if err != nil {
		return 0, err
	}
	if cookie == own {
		return 0, errors.New("the descriptors are of our own namespace")
	}
	return cookie, nil
}

func ownCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
}

// socket checks what an Internet socket is.
func socket(fd, typ, protocol, accepts int) error {
	get := func(opt int) int {
		v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, opt)
		if err != nil {
			return -1
		}
		return v
	}
	switch d := get(unix.SO_DOMAIN); {
	case d != unix.AF_INET && d != unix.AF_INET6:
		return errors.New("it is no Internet socket")
	case get(unix.SO_TYPE) != typ || get(unix.SO_PROTOCOL) != protocol:
		return errors.New("it is of another type")
	case get(unix.SO_ACCEPTCONN) != accepts:
		return errors.New("it does not listen, or should not")
	}
	return nil
}

func listening(fd int) error { return socket(fd, unix.SOCK_STREAM, unix.IPPROTO_TCP, 1) }

// transparent: the local address of what it accepts is the one that was meant.
func transparent(fd int) error {
	if v, err := unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT); err == nil && v == 1 {
		return nil
	}
	if v, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT); err == nil && v == 1 {
		return nil
	}
	return os.NewSyscallError("transparent", unix.EINVAL)
}
