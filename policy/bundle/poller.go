package bundle

import (
	"cmp"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// How often a source is asked, unless Options say otherwise.
const (
	DefaultMin = time.Minute
	DefaultMax = 2 * time.Minute
)

// soonest is how long a source waits at least that says it does: one that answers
// at once is asked like any other.
const soonest = 500 * time.Millisecond

// Options of a Poller. Source and Take are required.
type Options struct {
	Source   Source
	Min, Max time.Duration // between two requests, at random; 0 means a minute, and twice Min
	Wait     time.Duration // that the source may wait for something new; 0 asks for none
	// Take judges a bundle and puts it in force, or says why not, as an *Error.
	Take func(context.Context, *Bundle) error
	// Told is called after each request, with what is different.
	Told func(Event, Status)
	// ETag and Sum are of the bundle that is in force at the start.
	ETag, Sum string
}

// An Event is what came of a request.
type Event string

// What can come of a request.
const (
	Taken     Event = "taken"     // a new one is in force
	Unchanged Event = "unchanged" // what is in force is what there is
	Refused   Event = "refused"   // there is another, and it is not taken
	Failed    Event = "failed"    // it is not known what there is
)

// A Poller asks a source again and again, until its context ends.
type Poller struct {
	o       Options
	etag    string // of what was last seen, taken or not
	refused string // sum of what was not taken
	why     *Error // it was not
	last    Event

	mu sync.Mutex
	st Status
}

// Poll begins, at once.
func Poll(ctx context.Context, o Options) *Poller {
	o.Min = cmp.Or(o.Min, DefaultMin)
	o.Max = max(o.Min, cmp.Or(o.Max, 2*o.Min))
	p := &Poller{o: o, etag: o.ETag, st: Status{Sum: o.Sum, Counts: map[Event]int{}}}
	go p.run(ctx)
	return p
}

// Status is how it stands.
func (p *Poller) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.st.clone()
}

func (p *Poller) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		begun := time.Now()
		err := p.once(ctx)
		pause := p.o.Min + rand.N(p.o.Max-p.o.Min+1)
		switch {
		case err != nil && (err.Passing || err.Code == Unreachable || err.Code == Slow || err.Code == BadStatus):
			pause = min(backoff(failures), pause)
			failures++
			pause = max(pause, err.After)
		case p.Status().Waits && (p.last == Taken || time.Since(begun) > soonest): // or it does not wait
			pause, failures = soonest-time.Since(begun), 0
		default:
			failures = 0
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// backoff is twice as long each time, from a second on, less up to a half of it.
func backoff(failures int) time.Duration {
	d := time.Second << min(failures, 8)
	return d/2 + rand.N(d/2)
}

// once asks, and says what is wrong, if anything is.
func (p *Poller) once(ctx context.Context) *Error {
	ans, err := p.o.Source.Fetch(ctx, Ask{ETag: p.etag, Wait: p.o.Wait})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return p.tell(Failed, ans, asError(err))
	}
	b := ans.Bundle
	if b == nil { // of what was seen last, which may have been refused
		if p.refused != "" {
			return p.tell(Refused, ans, p.why)
		}
		return p.tell(Unchanged, ans, nil)
	}
	sum := b.Sum()
	switch sum {
	case p.inForce():
		p.etag, p.refused = b.ETag, ""
		return p.tell(Unchanged, ans, nil)
	case p.refused:
		p.etag = b.ETag
		return p.tell(Refused, ans, p.why)
	}
	if err := p.o.Take(ctx, b); err != nil {
		e := asError(err)
		if !e.Passing { // it need not come again
			p.etag, p.refused, p.why = b.ETag, sum, e
		}
		return p.tell(Refused, ans, e)
	}
	p.etag, p.refused = b.ETag, ""
	p.mu.Lock()
	p.st.Sum, p.st.Size, p.st.Activated = sum, len(b.Bytes), time.Now()
	p.mu.Unlock()
	return p.tell(Taken, ans, nil)
}

func (p *Poller) inForce() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.st.Sum
}

// tell notes what came of a request.
func (p *Poller) tell(ev Event, ans Answer, err *Error) *Error {
	now := time.Now()
	p.last = ev
	p.mu.Lock()
	s := &p.st
	s.Asked, s.Waits, s.Status = now, ans.Waits, ans.Status
	s.Counts[ev]++
	if ev != Failed {
		s.Answered = now
	}
	if ans.Bundle != nil {
		s.Downloaded = now
	}
	if s.Err = err; err != nil && err.Status != 0 {
		s.Status = err.Status
	}
	st := s.clone()
	p.mu.Unlock()
	if p.o.Told != nil {
		p.o.Told(ev, st)
	}
	return err
}
