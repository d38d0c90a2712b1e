package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/audit"
	"sallyport/policy"
)

// A span is how long a tunnel lasts and how much passes in it. What it allows can
// change while it lasts. It is safe for concurrent use.
type span struct {
	start    time.Time
	in, out  lane
	newest   atomic.Int64 // when something passed last, in nanoseconds from start
	cut      context.CancelCauseFunc
	progress func() // called when something passed in the time that reports are apart

	mu     sync.Mutex
	bounds bounds
	told   int64 // newest, at the last report
	report time.Time
	timer  *time.Timer
	over   bool
}

// carry lets both directions pass until both ended, or one failed. It reports
// meanwhile. A side that only says no more is still listened for.
func (s *span) carry(raw, client, up net.Conn, report func()) error {
	s.mu.Lock()
	s.progress = report
	s.mu.Unlock()
	early, below := bare(client)
	first, above := bare(up)
	var wg sync.WaitGroup
	var inErr error
	way := func(l *lane, dst, src net.Conn, head []byte) error {
		err := s.relay(l, dst, src, head)
		if err != nil { // it was cut, which no end is to hide; the other direction has nothing to wait for
			sever(up)
			sever(raw)
		}
		return err
	}
	wg.Go(func() { inErr = way(&s.in, above, below, early) })
	outErr := way(&s.out, below, above, first)
	wg.Wait()
	return errors.Join(inErr, outErr)
}

// result is how much passed until now.
func (s *span) result() *audit.Result {
	return &audit.Result{BytesIn: s.in.n.Load(), BytesOut: s.out.n.Load(), Took: time.Since(s.start)}
}

// A lane is what passes in one direction.
type lane struct {
	n    atomic.Int64 // bytes
	most atomic.Int64 // 0 is no limit
	code string       // of what goes beyond
}

// bounds are what a span allows; what is zero is not bounded, or not done.
type bounds struct {
	idle, life time.Duration
	in, out    int64         // bytes from the sandbox, and to it
	every      time.Duration // between reports
}

// bounds of a tunnel come of the sandbox and of what policy says of this one.
func (g *Gate) bounds(l policy.Limits) bounds {
	c, own := &g.srv.cfg, g.Sandbox().Limits
	b := bounds{idle: cmp.Or(time.Duration(own.TunnelIdle)*time.Second, c.TunnelIdle), life: cmp.Or(time.Duration(own.TunnelLife)*time.Second, c.TunnelLife),
		in: l.RequestBytes, out: l.ResponseBytes, every: c.Progress}
	if l.Duration > 0 && (b.life <= 0 || l.Duration < b.life) {
		b.life = l.Duration
	}
	return b
}

// newSpan begins now. Whatever ends it early is told to cut.
func newSpan(b bounds, cut context.CancelCauseFunc) *span {
	s := &span{start: time.Now(), cut: cut, progress: func() {}}
	s.in.code, s.out.code = "request_too_large", "response_too_large"
	s.timer = time.AfterFunc(time.Hour, s.beat)
	s.bound(b)
	return s
}

// bound replaces what is allowed; time that went by counts.
func (s *span) bound(b bounds) {
	s.mu.Lock()
	if s.bounds.every != b.every {
		s.report = time.Now().Add(b.every)
	}
	s.bounds = b
	s.mu.Unlock()
	s.in.most.Store(b.in)
	s.out.most.Store(b.out)
	s.beat()
}

// end stops the clock. Nothing is reported or cut after it.
func (s *span) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.timer.Stop()
}

// beat looks at the clock: it ends the span, reports, and says when to look again.
func (s *span) beat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	now, newest := time.Now(), s.newest.Load()
	next := now.Add(time.Hour)
	sooner := func(t time.Time) { // the earlier of both
		if t.Before(next) {
			next = t
		}
	}
	if b := s.bounds; b.life > 0 {
		at := s.start.Add(b.life)
		if !now.Before(at) {
			s.expire("life", b.life)
			return
		}
		sooner(at)
	}
	if b := s.bounds; b.idle > 0 {
		at := s.start.Add(time.Duration(newest) + b.idle)
		if !now.Before(at) {
			s.expire("idle", b.idle)
			return
		}
		sooner(at)
	}
	if b := s.bounds; b.every > 0 {
		if !now.Before(s.report) {
			if newest != s.told {
				s.told = newest
				s.progress()
			}
			s.report = now.Add(b.every)
		}
		sooner(s.report)
	}
	s.timer.Reset(time.Until(next))
}

func (s *span) expire(code string, after time.Duration) {
	s.over = true
	text := "it lasted as long as it may"
	if code == "idle" {
		text = "nothing passed for as long as that may be"
	}
	s.cut(&spentError{code, fmt.Sprintf("%s: %v", text, after)})
}

// room is how much of n more bytes may pass. None means that the span was cut.
func (s *span) room(l *lane, n int64) int64 {
	most := l.most.Load()
	if most <= 0 {
		return n
	}
	left := most - l.n.Load()
	if left <= 0 {
		s.cut(&spentError{l.code, fmt.Sprintf("more than %d bytes", most)})
		return 0
	}
	return min(n, left)
}

// passed counts.
func (s *span) passed(l *lane, n int64) {
	if n > 0 {
		l.n.Add(n)
		s.newest.Store(int64(time.Since(s.start)))
	}
}

// A spentError is why a span ended before its ends did.
type spentError struct{ code, text string }

func (e *spentError) Error() string { return e.text }
