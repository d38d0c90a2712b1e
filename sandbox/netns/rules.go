package netns

import (
	"fmt"
	"net"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// doorPort is where connections to anywhere arrive. It is one that a workload
// without capabilities cannot bind.
const (
	doorPort  = 1
	logGroup  = 53
	tableName = "sallyport"
)

// hasIPv6 reports whether the kernel speaks it here, where lo is up: Docker turns
// it off, and then there is no address and no route that could be made local.
func hasIPv6() bool {
	b, err := os.ReadFile("/proc/thread-self/net/if_inet6") // of this thread, which may have entered another namespace
	return err == nil && len(b) > 0
}

// loopback makes every address local: to connect to any succeeds here.
func loopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("lo up: %w", err)
	}
	all := []string{"0.0.0.0/0"}
	if hasIPv6() {
		all = append(all, "::/0")
	}
	for _, s := range all {
		_, dst, _ := net.ParseCIDR(s)
		r := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: dst, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL}
		if dst.IP.To4() != nil {
			r.Scope = netlink.SCOPE_HOST
		}
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("route %s: %w", s, err)
		}
	}
	// ping shall get as far as being refused and recorded.
	_ = os.WriteFile("/proc/sys/net/ipv4/ping_group_range", fmt.Appendf(nil, "%d %d", os.Getgid(), os.Getgid()), 0)
	return nil
}

// rules sends TCP to the door and refuses the rest at once, with a log entry.
// Nothing is tracked: no table can fill up. link says that it comes on one, not on
// the loopback alone.
func rules(link bool) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	for _, h := range []struct {
		name string
		hook *nftables.ChainHook
	}{{"raw_in", nftables.ChainHookPrerouting}, {"raw_out", nftables.ChainHookOutput}} {
		ch := c.AddChain(&nftables.Chain{Name: h.name, Table: t, Type: nftables.ChainTypeFilter, Hooknum: h.hook, Priority: nftables.ChainPriorityRaw})
		c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: []expr.Any{&expr.Notrack{}}})
	}
	in := c.AddChain(&nftables.Chain{Name: "door", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle})
	families := []byte{unix.NFPROTO_IPV4}
	if hasIPv6() {
		families = append(families, unix.NFPROTO_IPV6)
	}
	for _, f := range families {
		es := concat(family(f), protocol(unix.IPPROTO_TCP), destination(f, expr.CmpOpNeq), port(2, expr.CmpOpNeq, 53), []expr.Any{
			&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(doorPort)},
			&expr.TProxy{Family: f, TableFamily: byte(nftables.TableFamilyINet), RegPort: 1},
			&expr.Verdict{Kind: expr.VerdictAccept},
		})
		c.AddRule(&nftables.Rule{Table: t, Chain: in, Exprs: es})
	}
	out := c.AddChain(&nftables.Chain{Name: "wall", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
	accept := []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	add := func(es ...[]expr.Any) { c.AddRule(&nftables.Rule{Table: t, Chain: out, Exprs: concat(es...)}) }
	add(protocol(unix.IPPROTO_TCP), accept)
	for _, f := range families {
		add(family(f), destination(f, expr.CmpOpEq), accept)
	}
	add(protocol(unix.IPPROTO_UDP), port(2, expr.CmpOpEq, 53), accept)
	add(protocol(unix.IPPROTO_UDP), port(0, expr.CmpOpEq, 53), accept)
	for _, typ := range []byte{3, 11, 12} { // the kernel's own error messages: RFC 792
		add(family(unix.NFPROTO_IPV4), protocol(unix.IPPROTO_ICMP), icmpType(typ), accept)
	}
	for _, typ := range []byte{1, 2, 3, 4} { // RFC 4443
		add(family(unix.NFPROTO_IPV6), protocol(unix.IPPROTO_ICMPV6), icmpType(typ), accept)
	}
	if link {
		addLink(c, t, add)
	}
	add(refusal())
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nftables, which needs nft_tproxy, nft_log, nft_reject and, for a gateway, nft_limit in the kernel: %w", err)
	}
	return nil
}

// refusal is recorded, and said at once.
func refusal() []expr.Any {
	return []expr.Any{
		&expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN, Group: logGroup, Snaplen: 128},
		&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH},
	}
}

// Types of neighbour discovery (RFC 4861), and of what a host says that a router has
// no use for (RFC 4861, RFC 3810).
const (
	solicitation  = 135
	advertisement = 136
)

var idle = []byte{130, 131, 132, 133, 143}

// addLink adds what a link needs: the neighbours find each other, and what comes
// is held against the same wall.
func addLink(c *nftables.Conn, t *nftables.Table, out func(...[]expr.Any)) {
	in := c.AddChain(&nftables.Chain{Name: "link", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})
	accept, drop := []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	add := func(es ...[]expr.Any) { c.AddRule(&nftables.Rule{Table: t, Chain: in, Exprs: concat(es...)}) }
	add(protocol(unix.IPPROTO_TCP), accept) // it is the door's, or asks for a name
	add(protocol(unix.IPPROTO_UDP), port(2, expr.CmpOpEq, 53), accept)
	// Who asks becomes an entry of a table that all namespaces share: it is the guest,
	// or now and then somebody on the link. Routes are not taken from it.
	asks := concat(family(unix.NFPROTO_IPV6), protocol(unix.IPPROTO_ICMPV6), icmpType(solicitation))
	add(asks, source6(guest6.IP, 16), accept)
	add(asks, source6(net.IP{0xfe, 0x80}, 2), []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: 1, Unit: expr.LimitTimeSecond, Burst: 5}}, accept)
	add(asks, drop)
	add(family(unix.NFPROTO_IPV6), protocol(unix.IPPROTO_ICMPV6), icmpType(advertisement), accept)
	for _, typ := range []byte{solicitation, advertisement} {
		out(family(unix.NFPROTO_IPV6), protocol(unix.IPPROTO_ICMPV6), icmpType(typ), accept)
	}
	for _, typ := range idle {
		add(family(unix.NFPROTO_IPV6), protocol(unix.IPPROTO_ICMPV6), icmpType(typ), drop)
		out(family(unix.NFPROTO_IPV6), protocol(unix.IPPROTO_ICMPV6), icmpType(typ), drop)
	}
	for _, typ := range []byte{3, 11, 12} {
		add(family(unix.NFPROTO_IPV4), protocol(unix.IPPROTO_ICMP), icmpType(typ), accept)
	}
	for _, typ := range []byte{1, 2, 3, 4} {
		add(family(unix.NFPROTO_IPV6), protocol(unix.IPPROTO_ICMPV6), icmpType(typ), accept)
	}
	add(refusal())
}

func concat(ess ...[]expr.Any) (out []expr.Any) {
	for _, es := range ess {
		out = append(out, es...)
	}
	return out
}

func family(f byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{f}}}
}

func protocol(p byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{p}}}
}

// destination compares with the loopback addresses of a family.
func destination(f byte, op expr.CmpOp) []expr.Any {
	if f == unix.NFPROTO_IPV4 {
		return []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 1},
			&expr.Cmp{Op: op, Register: 1, Data: []byte{127}},
		}
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16},
		&expr.Cmp{Op: op, Register: 1, Data: net.IPv6loopback},
	}
}

func port(offset uint32, op expr.CmpOp, p uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		&expr.Cmp{Op: op, Register: 1, Data: binaryutil.BigEndian.PutUint16(p)},
	}
}

// source6 compares the first bytes of an IPv6 source.
func source6(ip net.IP, n uint32) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: n},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: ip},
	}
}

func icmpType(t byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{t}},
	}
}
