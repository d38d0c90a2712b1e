package proxy

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"sallyport/proxy/causes"
)

// stagger is how long one address is given before the next is tried as well
// (RFC 8305, 5).
const stagger = 250 * time.Millisecond

// interleave alternates between the families, beginning with that of the first
// address (RFC 8305, 4).
func interleave(addrs []netip.Addr) []netip.Addr {
	if len(addrs) == 0 {
		return nil
	}
	var first, second, out []netip.Addr
	for _, a := range addrs {
		if a.Is4() == addrs[0].Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			out = append(out, first[i])
		}
		if i < len(second) {
			out = append(out, second[i])
		}
	}
	return out
}

// A racer is what became of one address.
type racer struct {
	at  netip.AddrPort
	c   net.Conn
	err error
}

// race dials addresses, all of which were judged: the next when one fails or takes
// long, until one accepts. The others are closed.
func race(ctx context.Context, addrs []netip.Addr, port uint16) (net.Conn, netip.AddrPort, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	order := interleave(addrs)
	done := make(chan racer, len(order))
	begun, running := 0, 0
	begin := func() {
		want := netip.AddrPortFrom(order[begun], port)
		begun++
		running++
		go func() {
			c, err := dialJudged(ctx, want)
			done <- racer{want, c, err}
		}()
	}
	next := time.NewTimer(stagger)
	defer next.Stop()
	begin()
	var errs []error
	for running > 0 {
		more := next.C
		if begun == len(order) {
			more = nil
		}
		select {
		case <-more:
			begin()
			next.Reset(stagger)
		case r := <-done:
			running--
			if r.err == nil {
				go lose(done, running)
				return r.c, r.at, nil
			}
			errs = append(errs, r.err)
			if begun < len(order) && ctx.Err() == nil {
				begin()
				next.Reset(stagger)
			}
		}
	}
	return nil, netip.AddrPort{}, causes.Join(errs...)
}

// lose closes what comes too late.
func lose(done <-chan racer, running int) {
	for range running {
		if r := <-done; r.c != nil {
			_ = r.c.Close()
		}
	}
}

// dialJudged connects to an address. What the kernel is asked to connect to is what
// was judged (hostile 12, 14).
func dialJudged(ctx context.Context, want netip.AddrPort) (net.Conn, error) {
	nd := net.Dialer{ControlContext: func(_ context.Context, _, address string, c syscall.RawConn) error {
		got, err := netip.ParseAddrPort(address)
		if err != nil || got.Addr().Unmap().WithZone("") != want.Addr() || got.Port() != want.Port() {
			return refuse(http.StatusForbidden, "address_denied", "the address to dial is not the one that was judged")
		}
		if ref := crowded(c, 0); ref != nil {
			return ref
		}
		return nil
	}}
	return nd.DialContext(ctx, "tcp", want.String())
}
