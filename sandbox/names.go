package sandbox

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"sync"

	"sallyport/dest"
)

// ErrNamesFull means that a sandbox asked for more names than it has addresses.
var ErrNamesFull = errors.New("no synthetic address is left")

// The ranges out of which names get addresses: RFC 2544's, which nobody routes,
// and a unique local prefix (RFC 4193).
var (
	names4 = netip.MustParsePrefix("198.18.0.0/15")
	names6 = netip.MustParsePrefix("fd53:616c:6c79::/64")
)

// firstName leaves the beginning of the ranges free, for the name server itself.
const firstName = 16

// Names are the synthetic addresses of one sandbox. A name keeps its addresses
// for the sandbox's life, and no address is given to a second name. They are
// safe for concurrent use.
type Names struct {
	limit uint32
	mu    sync.RWMutex
	byN   map[dest.Host]uint32
	hosts []dest.Host
	// journal keeps them over a restart; nil does not.
	journal *os.File
}

// NewNames returns an empty table for at most limit names; 0 means 65,536.
func NewNames(limit int) *Names {
	if limit <= 0 || limit > 1<<17-2*firstName {
		limit = 1 << 16
	}
	return &Names{limit: uint32(limit), byN: map[dest.Host]uint32{}}
}

func (n *Names) number(h dest.Host) (uint32, error) {
	n.mu.RLock()
	i, ok := n.byN[h]
	n.mu.RUnlock()
	if ok {
		return i, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if i, ok := n.byN[h]; ok {
		return i, nil
	}
	if uint32(len(n.hosts)) >= n.limit {
		return 0, ErrNamesFull
	}
	if err := n.write(h); err != nil {
		return 0, err
	}
	i = uint32(len(n.hosts)) + firstName
	n.hosts = append(n.hosts, h)
	n.byN[h] = i
	return i, nil
}

// Addr4 returns the IPv4 address that stands for a name.
func (n *Names) Addr4(h dest.Host) (netip.Addr, error) {
	i, err := n.number(h)
	if err != nil {
		return netip.Addr{}, err
	}
	b := names4.Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+i)
	return netip.AddrFrom4(b), nil
}

// Addr6 returns the IPv6 address that stands for a name.
func (n *Names) Addr6(h dest.Host) (netip.Addr, error) {
	i, err := n.number(h)
	if err != nil {
		return netip.Addr{}, err
	}
	b := names6.Addr().As16()
	binary.BigEndian.PutUint32(b[12:], i)
	return netip.AddrFrom16(b), nil
}

// Lookup returns the name that an address stands for. synthetic reports whether
// it is in the ranges at all: one that is, and is not known, leads nowhere.
func (n *Names) Lookup(a netip.Addr) (h dest.Host, known, synthetic bool) {
	a = a.Unmap().WithZone("")
	var i uint32
	switch {
	case names4.Contains(a):
		b, base := a.As4(), names4.Addr().As4()
		i = binary.BigEndian.Uint32(b[:]) - binary.BigEndian.Uint32(base[:])
	case names6.Contains(a):
		b := a.As16()
		if binary.BigEndian.Uint32(b[8:12]) != 0 {
			return dest.Host{}, false, true
		}
		i = binary.BigEndian.Uint32(b[12:])
	default:
		return dest.Host{}, false, false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if i < firstName || i-firstName >= uint32(len(n.hosts)) {
		return dest.Host{}, false, true
	}
	return n.hosts[i-firstName], true, true
}
