package policy

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowly is an engine that waits, and keeps what it was asked.
type slowly struct {
	wait  chan struct{}
	mu    sync.Mutex
	asked []*Question
}

// Decide waits.
func (s *slowly) Decide(_ context.Context, q *Question) *Decision {
	<-s.wait
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, q)
	return &Decision{Phase: q.Phase}
}

// Has reports that there are rules.
func (*slowly) Has(Phase) bool { return true }

// Reads reports that all is read.
func (*slowly) Reads(Phase, ...string) bool { return true }

// yes allows all.
type yes struct{}

// Decide allows.
func (yes) Decide(_ context.Context, q *Question) *Decision {
	return &Decision{Phase: q.Phase, Allow: true}
}

// Has reports that there are rules.
func (yes) Has(Phase) bool { return true }

// Reads reports that nothing is read.
func (yes) Reads(Phase, ...string) bool { return false }

// hostile 424: a candidate that does not answer keeps nobody waiting; what there is no
// room for is counted, and what becomes of a request later is not what it is asked.
func TestShadowsAreBounded(t *testing.T) {
	const room, n = 8, 100
	var dropped atomic.Int64
	var told []Compared
	done := make(chan struct{})
	s := NewShadows(room, func(c Compared) { told = append(told, c) }, func(string, string) { dropped.Add(1) })
	ctx, stop := context.WithCancel(t.Context())
	other := &slowly{wait: make(chan struct{})}
	e := s.Beside(yes{}, "now", other, "next")
	answered := make(chan struct{})
	go func() { // nobody asks the candidate yet
		defer close(answered)
		for range n {
			r := &RequestFacts{Header: http.Header{"A": {"b"}}, BodyState: BodyUnparsed}
			if d := e.Decide(ctx, &Question{Phase: Request, Request: r}); !d.Granted() {
				t.Error("the candidate decided")
			}
			r.Header.Set("Authorization", "a secret")
		}
	}()
	select {
	case <-answered:
	case <-time.After(20 * time.Second):
		t.Fatal("who asks waits for the candidate")
	}
	if got := dropped.Load(); got != n-room {
		t.Errorf("%d of %d were dropped, and there is room for %d", got, n, room)
	}
	go func() { s.Run(ctx); close(done) }()
	for range room {
		other.wait <- struct{}{}
	}
	for len(s.in) > 0 {
		other.wait <- struct{}{}
	}
	stop()
	close(other.wait)
	<-done
	if len(told) < room-1 {
		t.Errorf("%d were told", len(told))
	}
	for _, c := range told {
		if c.Question.Request.Header.Get("Authorization") != "" || c.Question.Request.Header.Get("A") != "b" || !c.Unknown || c.Was == c.Now {
			t.Errorf("%+v %+v", c, c.Question.Request)
		}
	}
}

// hostile 424: of bodies few wait, whatever the room, and none for a candidate that
// does not read them.
func TestShadowsHoldFewBodies(t *testing.T) {
	for _, c := range []struct {
		candidate Engine
		waiting   int
	}{{&slowly{}, maxBodies}, {yes{}, 100}} {
		var dropped atomic.Int64
		s := NewShadows(1000, func(Compared) {}, func(string, string) { dropped.Add(1) })
		e := s.Beside(yes{}, "now", c.candidate, "next")
		for range 100 {
			e.Decide(t.Context(), &Question{Phase: Request, Request: &RequestFacts{Body: map[string]any{}, BodyState: BodyParsed}})
		}
		if len(s.in) != c.waiting || dropped.Load() != int64(100-c.waiting) {
			t.Errorf("%T: %d wait, %d were dropped", c.candidate, len(s.in), dropped.Load())
		}
		if x := <-s.in; (x.q.Request.Body != nil) != (c.waiting == maxBodies) {
			t.Errorf("%T: the body is %v", c.candidate, x.q.Request.Body)
		}
	}
}
