package proxy

import (
	"net/http"
	"sync"
	"time"

	"sallyport/policy"
	"sallyport/sandbox"
)

// limits are those of the sandbox as it is now.
func (g *Gate) limits() sandbox.Limits {
	c := &g.srv.cfg
	return g.Sandbox().Limits.Or(sandbox.Limits{Connections: c.MaxConns, Requests: c.MaxRequests, Rate: c.MaxRate})
}

// enter takes one more connection, if there is room: end gives it back.
func (g *Gate) enter() bool {
	if g.conns.Add(1) > int64(g.limits().Connections) {
		g.conns.Add(-1)
		return false
	}
	return true
}

// admit takes one more request, if it does not come too quickly and there is
// room: done gives it back.
func (g *Gate) admit() (done func(), ref *Refusal) {
	l := g.limits()
	if !g.pace.take(l.Rate, time.Now()) {
		return nil, refuse(http.StatusTooManyRequests, "rate_exceeded", "this sandbox makes requests too quickly")
	}
	if g.active.Add(1) > int64(l.Requests) {
		g.active.Add(-1)
		return nil, refuse(http.StatusTooManyRequests, "too_many_requests", "this sandbox has too many requests under way")
	}
	return func() { g.active.Add(-1) }, nil
}

// limited is what a decision bounds, with what was said before a rewrite and what
// phase response said of this answer.
func (x *exchange) limited(l policy.Limits) policy.Limits {
	l = l.Tighter(x.before)
	if x.most > 0 && (l.ResponseBytes == 0 || x.most < l.ResponseBytes) {
		l.ResponseBytes = x.most
	}
	return l
}

// A pace lets so many pass in a second, and as many at once. The zero pace has
// let none pass. It is safe for concurrent use.
type pace struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

// take reports whether one more may pass; a rate of 0 lets all pass.
func (p *pace) take(rate int, now time.Time) bool {
	if rate <= 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	full := float64(rate)
	switch gone := now.Sub(p.at).Seconds(); {
	case p.at.IsZero():
		p.left, p.at = full, now
	case gone > 0: // of two that come at once the later may be here first
		p.left, p.at = min(full, p.left+gone*full), now
	}
	p.left = min(full, p.left) // it may have been lowered
	if p.left < 1 {
		return false
	}
	p.left--
	return true
}
