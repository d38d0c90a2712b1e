package sidecar

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/proxy"
	"sallyport/sandbox"
)

// A door is a doorway that is open.
type door struct {
	at    netip.AddrPort
	asked *proxy.Door
	l     net.Listener
}

// identity is why the traffic of a configured sandbox is believed to be its own.
func (x *planned) identity() sandbox.Identity {
	peers := []string{}
	if x.socket != "" {
		peers = append(peers, x.socket)
	}
	if x.door.listen.IsValid() {
		peers = append(peers, "tcp "+x.door.listen.String())
	}
	if len(peers) == 0 {
		return sandbox.Identity{}
	}
	return sandbox.Identity{Way: sandbox.WayExplicit, Peer: strings.Join(peers, ", ")}
}

// identified is the identity of a sandbox that was, as the plan has it now.
func (x *planned) identified(was sandbox.Identity) sandbox.Identity {
	if id := x.identity(); id.Peer != "" || was.Way == sandbox.WayExplicit {
		return id
	}
	return was
}

// told opens the proxies that clients of a sandbox are told of.
func (t *tenant) told(x planned) (err error) {
	if x.socket != "" {
		t.at = x.socket
		err = t.explicit(x.socket, x.owner)
	}
	if err == nil && x.door.listen.IsValid() {
		err = t.openDoor(&x.door)
	}
	return err
}

// prepare opens the listeners that a new plan has and nobody serves yet, and looks
// whether its sockets can be made, so that a plan that cannot be followed is not
// taken.
func (s *sidecar) prepare(p *plan) error {
	s.opened = map[netip.AddrPort]net.Listener{}
	for _, x := range p.sandboxes {
		if err := s.hasRoom(&x); err != nil {
			s.shutOpened()
			return fmt.Errorf("sandbox %s: %w", x.Name, err)
		}
		at := x.door.listen
		if !at.IsValid() || s.servesOn(at) {
			continue
		}
		l, err := net.Listen("tcp", at.String())
		if err != nil {
			s.shutOpened()
			return fmt.Errorf("sandbox %s: %w", x.Name, err)
		}
		s.opened[at] = l
	}
	return nil
}

// hasRoom says why the sockets of a sandbox cannot be made, unless they are ours.
func (s *sidecar) hasRoom(x *planned) error {
	paths := map[string]string{}
	if x.socket != "" {
		paths[x.socket] = "unix"
	}
	if x.enrolDir != "" {
		paths[filepath.Join(x.enrolDir, EnrolSocket)] = "unixpacket"
	}
	for _, t := range s.tenants {
		delete(paths, t.at)
		delete(paths, t.socket)
	}
	for path, network := range paths {
		if _, err := vacant(network, path); err != nil {
			return err
		}
	}
	return nil
}

// shutOpened lets go of what was opened for nobody.
func (s *sidecar) shutOpened() {
	for _, l := range s.opened {
		_ = l.Close()
	}
	s.opened = nil
}

// servesOn reports whether a tenant's door is in the way of a listener.
func (s *sidecar) servesOn(at netip.AddrPort) bool {
	for _, t := range s.tenants {
		if t.door == nil || t.door.at.Port() != at.Port() {
			continue
		}
		if b := t.door.at.Addr(); b == at.Addr() || b.IsUnspecified() || at.Addr().IsUnspecified() {
			return true
		}
	}
	return false
}

// openDoor serves a doorway, on the listener that was opened for it if there is one.
func (t *tenant) openDoor(d *doorway) error {
	l := t.s.opened[d.listen]
	delete(t.s.opened, d.listen)
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", d.listen.String()); err != nil {
			return err
		}
	}
	out := &door{d.listen, proxy.NewDoor(d.asks(t.s.issuer)), l}
	t.door = out
	t.wg.Go(func() { _ = t.gate.ServeDoor(l, out.asked) })
	return nil
}

// shutDoor ends a doorway and what came in by it.
func (t *tenant) shutDoor() {
	if t.door == nil {
		return
	}
	_ = t.door.l.Close()
	t.gate.ChangeDoor(t.door.asked, proxy.Asks{})
	t.door = nil
}

// shutDoors ends the doors that are not in a new plan any more, or elsewhere,
// before others are opened.
func (s *sidecar) shutDoors(p *plan) (errs []error) {
	for _, t := range s.tenants {
		if t.door == nil {
			continue
		}
		i := slices.IndexFunc(p.sandboxes, func(x planned) bool { return x.Name == t.planned })
		if i < 0 || p.sandboxes[i].door.listen != t.door.at {
			t.shutDoor()
			sb := *t.gate.Sandbox()
			sb.Identity.Peer = "" // it may be another's from now on
			errs = append(errs, s.reg.Update(func(tx *sandbox.Tx) error { return tx.Put(&sb) }))
		}
	}
	return errs
}

// followDoor makes of a tenant's door what its sandbox says now.
func (t *tenant) followDoor(x *planned) error {
	if t.door != nil {
		t.gate.ChangeDoor(t.door.asked, x.door.asks(t.s.issuer))
		return nil
	}
	if !x.door.listen.IsValid() {
		return nil
	}
	return t.openDoor(&x.door)
}
