package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"sallyport/proxy/ws"
)

// joined keeps a WebSocket for as long as it is open: the HTTP server it came on
// has forgotten it.
func (g *Gate) joined(r *relay) (left func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.relays[r] = struct{}{}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.relays, r)
	}
}

func (g *Gate) sockets() (out []*relay) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for r := range g.relays {
		out = append(out, r)
	}
	return out
}

// goAway waits until WebSockets end or ctx does, then tells both sides of each that
// is left that this end goes away.
func (g *Gate) goAway(ctx context.Context) {
	for len(g.sockets()) > 0 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	var wg sync.WaitGroup
	for _, r := range g.sockets() {
		wg.Go(func() {
			r.stop(&ending{kind: "shutdown", err: errors.New("sallyport ends"), client: ws.GoingAway, origin: ws.GoingAway})
		})
	}
	wg.Wait()
	for range int(farewell / (10 * time.Millisecond)) {
		if len(g.sockets()) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
