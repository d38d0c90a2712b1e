package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// late reports whether time ran out.
func late(ctx context.Context, err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout() || errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// A stage is what an exchange waits for.
type stage int

const (
	resting  stage = iota // neither is waited for
	sending               // it takes more of the request
	awaiting              // it answers
	reading               // more of the answer comes
	offering              // the client sends more of the request
	handing               // it takes what came of the answer
)

// leastOffer is how much of a request that is not answered comes in the time that its
// client is waited for, so that a byte now and then does not hold it for ever.
const leastOffer = 4 << 10

// A clock ends an exchange whose upstream does not go on, or whose client does not:
// each is given its own time, and what a dial takes is not counted. It is safe for
// concurrent use.
type clock struct {
	limits   Timeouts
	cut      context.CancelCauseFunc
	trailing func() bool // the answer is whole but for its trailer
	client   time.Duration
	messages bool        // the request is a stream of messages, which may be few
	stall    func(stage) // ends what waits for the client

	mu       sync.Mutex
	now      stage
	since    time.Time
	offered  time.Duration // that the client took for what it sent of the next leastOffer
	offer    int           // bytes that it sent of it
	whole    bool          // the upstream has the request
	answered bool
	over     bool
	timer    *time.Timer
}

func newClock(limits Timeouts, cut context.CancelCauseFunc) *clock {
	c := &clock{limits: limits, cut: cut, trailing: func() bool { return false }, stall: func(stage) {}}
	c.timer = time.AfterFunc(time.Hour, c.ring)
	c.timer.Stop()
	return c
}

// enter begins to wait for something; the caller holds the lock.
func (c *clock) enter(s stage) {
	if c.over {
		return
	}
	c.now, c.since = s, time.Now()
	switch s {
	case resting:
		c.timer.Stop()
	case sending:
		c.timer.Reset(c.limits.Request)
	case awaiting:
		c.timer.Reset(c.limits.Response)
	case reading:
		c.timer.Reset(min(c.limits.Body, c.limits.Trailer))
	case offering:
		c.timer.Reset(c.client - c.offered)
	case handing:
		c.timer.Reset(c.client)
	}
}

// ring ends what took too long.
func (c *clock) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	var ref *Refusal
	switch c.now {
	case resting:
		return
	case sending:
		ref = refuse(http.StatusGatewayTimeout, "request_timeout", "the destination stopped taking the request")
	case awaiting:
		ref = refuse(http.StatusGatewayTimeout, "response_timeout", "the destination did not answer in time")
	case offering, handing:
		ref = stalled()
	case reading:
		switch past := time.Since(c.since); {
		case c.trailing() && past >= c.limits.Trailer:
			ref = refuse(http.StatusGatewayTimeout, "trailer_timeout", "the destination did not end its answer in time")
		case past < c.limits.Body:
			c.timer.Reset(c.limits.Body - past)
			return
		default:
			ref = refuse(http.StatusGatewayTimeout, "body_timeout", "the destination stopped answering")
		}
	}
	c.over = true
	c.cut(&lateError{ref})
	if c.now == offering || c.now == handing {
		c.stall(c.now)
	}
}

func (c *clock) do(f func()) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// given: a connection was found, on which the request is sent from its beginning.
func (c *clock) given() { c.do(func() { c.whole = false; c.enter(sending) }) }

// fetching: more of the request is waited for, which is the client's to send.
func (c *clock) fetching() {
	c.do(func() {
		if !c.answered {
			c.enter(offering)
		}
	})
}

// fetched: so many bytes more of the request are there, to be taken.
func (c *clock) fetched(n int) {
	c.do(func() {
		c.offer += n
		switch {
		case c.messages || c.offer >= leastOffer:
			c.offered, c.offer = 0, 0
		case c.now == offering:
			c.offered += time.Since(c.since)
		}
		switch {
		case !c.answered && !c.whole:
			c.enter(sending)
		case c.answered && c.now == reading: // both ways go on
			c.enter(reading)
		}
	})
}

// sent: the upstream has the request.
func (c *clock) sent() {
	c.do(func() {
		c.whole = true
		if !c.answered {
			c.enter(awaiting)
		}
	})
}

// hinted: it said that it will answer.
func (c *clock) hinted() {
	c.do(func() {
		if c.now == awaiting {
			c.enter(awaiting)
		}
	})
}

// headed: its answer began.
func (c *clock) headed() { c.do(func() { c.answered = true; c.enter(resting) }) }

// listening: more of the answer is waited for, until heard.
func (c *clock) listening() { c.do(func() { c.enter(reading) }) }

// heard: it came, for the client to take.
func (c *clock) heard() { c.do(func() { c.enter(handing) }) }

// end stops the clock for good.
func (c *clock) end() { c.do(func() { c.over = true; c.timer.Stop() }) }

// A lateError is why an exchange was ended by its clock.
type lateError struct{ ref *Refusal }

func (e *lateError) Error() string { return e.ref.Public }
func (e *lateError) Unwrap() error { return e.ref }

// lateness returns why a clock ended what a context belongs to, or nil.
func lateness(ctx context.Context) *Refusal {
	var e *lateError
	if ctx != nil && errors.As(context.Cause(ctx), &e) {
		return e.ref
	}
	return nil
}
