package sidecar

import (
	"sync"

	"sallyport/audit"
	"sallyport/proxy"
	"sallyport/sandbox"
	"sallyport/sandbox/netns"
)

// ServeSockets answers on all sockets of a sealed namespace, until they close.
func ServeSockets(wg *sync.WaitGroup, gate *proxy.Gate, socks *netns.Sockets, names *sandbox.Names) {
	for _, l := range socks.TCP {
		wg.Go(func() { _ = gate.ServeTransparent(l) })
	}
	for _, l := range socks.Explicit {
		wg.Go(func() { _ = gate.ServeExplicit(l) })
	}
	d := nameServer(gate, names)
	for _, c := range socks.DNS {
		wg.Go(func() { _ = d.ServePacket(c) })
	}
	for _, l := range socks.DNSTCP {
		wg.Go(func() { _ = d.ServeTCP(l) })
	}
	wg.Go(func() {
		for {
			p, err := socks.Log.Read()
			if err != nil {
				return
			}
			gate.Refused(audit.Packet{Transport: p.Transport, Source: p.Source, Dest: p.Dest, Type: p.Type, Count: 1})
		}
	})
}
