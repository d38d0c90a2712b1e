package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Both ends of a gateway's link. They are of the ranges out of which names get
// addresses, from the beginning that no name gets. The name server is the router.
var (
	router4, guest4 = mustNet("198.18.0.1/30"), mustNet("198.18.0.2/30")
	router6, guest6 = mustNet("fd53:616c:6c79::1/126"), mustNet("fd53:616c:6c79::2/126")
)

const (
	doorLink   = "door0"
	guestTable = 99 // of routes that lead to the guest
)

func mustNet(s string) *net.IPNet {
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err) // it is a constant
	}
	n.IP = ip
	return n
}

// Gateway makes a link into a network namespace that has none, with addresses and
// routes, and seals what is on its other side: a namespace of its own, in which
// every address is local, and of which the sockets are returned. It lives as long as
// they do; with it the link goes, on both sides. Nothing else is on the link: not
// the host, and no other sandbox. It needs NET_ADMIN and SYS_ADMIN over both.
func Gateway(guest *os.File, link string) (*Sockets, error) {
	if err := isNetwork(guest); err != nil {
		return nil, err
	}
	own, err := ownCookie()
	if err != nil {
		return nil, err
	}
	if err := inside(guest, own, sealable); err != nil {
		return nil, err
	}
	var m *made
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and thrown away with the goroutine
		done <- func() (err error) {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("a namespace for the gateway: %w", err)
			}
			if err := routerLink(guest, link); err != nil {
				return err
			}
			if m, err = listen(); err != nil {
				return err
			}
			return rules(true)
		}()
	}()
	if err := <-done; err != nil {
		if m != nil {
			closeAll(m.fds)
		}
		return nil, err
	}
	s, err := m.sockets()
	if err != nil {
		return nil, err
	}
	if err := inside(guest, own, func() error { return guestLink(link) }); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// inside does something in a namespace that is not our own.
func inside(ns *os.File, own uint64, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and thrown away with the goroutine
		done <- func() error {
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("entering %s: %w", ns.Name(), err)
			}
			if c, err := ownCookie(); err != nil || c == own {
				return fmt.Errorf("%w: it is sallyport's own", ErrNotSealable)
			}
			return do()
		}()
	}()
	return <-done
}

// routerLink makes the link, and every address local but the guest's: what comes
// from any other is dropped by the kernel as impossible.
func routerLink(guest *os.File, link string) error {
	if err := loopback(); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = doorLink
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: link, PeerNamespace: netlink.NsFd(int(guest.Fd()))}); err != nil {
		return fmt.Errorf("a link %s into %s: %w", link, guest.Name(), err)
	}
	l, err := netlink.LinkByName(doorLink)
	if err != nil {
		return err
	}
	families := map[int][2]*net.IPNet{unix.AF_INET: {router4, guest4}}
	if hasIPv6() {
		families[unix.AF_INET6] = [2]*net.IPNet{router6, guest6}
	}
	for _, ends := range families {
		if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: ends[0], Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("the router's address: %w", err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return err
	}
	for family, ends := range families {
		bits := 8 * len(ends[1].Mask)
		to := &net.IPNet{IP: ends[1].IP, Mask: net.CIDRMask(bits, bits)}
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: to, Table: guestTable, Scope: netlink.SCOPE_LINK}); err != nil {
			return fmt.Errorf("the route to the guest: %w", err)
		}
		for prio, table := range map[int]int{5: guestTable, 10: unix.RT_TABLE_LOCAL} {
			r := netlink.NewRule()
			r.Family, r.Priority, r.Table = family, prio, table
			if err := netlink.RuleAdd(r); err != nil {
				return fmt.Errorf("rule %d: %w", prio, err)
			}
		}
		r := netlink.NewRule() // the guest is looked for before what is local
		r.Family, r.Priority, r.Table = family, 0, unix.RT_TABLE_LOCAL
		if err := netlink.RuleDel(r); err != nil {
			return fmt.Errorf("rule 0: %w", err)
		}
	}
	return nil
}

// guestLink gives the guest its addresses and the way out.
func guestLink(link string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	l, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	for _, ends := range [][2]*net.IPNet{{router4, guest4}, {router6, guest6}} {
		six := ends[0].IP.To4() == nil
		err := netlink.AddrAdd(l, &netlink.Addr{IPNet: ends[1], Flags: unix.IFA_F_NODAD})
		if six && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP)) { // it is turned off in there
			continue
		}
		if err != nil {
			return fmt.Errorf("the address of %s: %w", link, err)
		}
		if !six {
			if err := netlink.LinkSetUp(l); err != nil {
				return err
			}
		}
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: ends[0].IP}); err != nil {
			return fmt.Errorf("the route of %s: %w", link, err)
		}
	}
	return nil
}
