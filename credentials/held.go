package credentials

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// A Held keeps what a source gave, so that a request waits for the source at most
// once in the life of a value, and a source that is down is asked seldom. For each
// choice of parameters one fetch is under way at a time, and everybody waits for
// that. It is safe for concurrent use.
type Held struct {
	src    Source
	terms  Terms
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	kept     map[string]*list.Element // of *held, by choice
	order    list.List                // the last used in front
	version  int
	fails    int       // in a row, over all choices
	rest     time.Time // until when nothing is asked
	underway int
}

// Terms are how long values are kept and sources waited for.
type Terms struct {
	Timeout time.Duration // of one fetch; 0 means 5 s
	Life    time.Duration // of a value that does not say when it ends; 0 means 10 min
	Choices int           // how many are kept; 0 means 1,024
}

const (
	// soon is the part of a life after which a value is fetched anew, while the old
	// one goes on to be used.
	soon = 0.8
	// early is how long before its end a value is not used any more: it has to
	// arrive, and clocks differ.
	early = 5 * time.Second
	// maxUnderway bounds the fetches of one source, whatever is chosen.
	maxUnderway = 16
	// A source that failed so often in a row is left alone, for longer each time.
	breakAfter = 5
	maxRest    = 30 * time.Second
	// refusals is how often a value that was refused is fetched anew.
	refusals = 10 * time.Second
)

// held is what is known of one choice.
type held struct {
	choice     string
	v          Value
	soft, hard time.Time // v is fetched anew after the first, and not used after the second
	err        error     // of the last fetch
	until      time.Time // when it may be tried again
	fails      int
	call       *call
	refused    time.Time
}

// A call is a fetch under way. What it came to is there when done is closed.
type call struct {
	done chan struct{}
	v    Value
	err  error
}

// Hold begins to keep what a source gives. Close ends it.
func Hold(src Source, t Terms) *Held {
	if t.Timeout <= 0 {
		t.Timeout = 5 * time.Second
	}
	if t.Life <= 0 {
		t.Life = 10 * time.Minute
	}
	if t.Choices <= 0 {
		t.Choices = 1024
	}
	h := &Held{src: src, terms: t, kept: map[string]*list.Element{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

var _ Narrower = (*Held)(nil)

// String names the source.
func (h *Held) String() string { return h.src.String() }

// Takes returns the parameters of the source.
func (h *Held) Takes() []string {
	if n, ok := h.src.(Narrower); ok {
		return n.Takes()
	}
	return nil
}

// Close ends what is under way, and has the source give back what it can. Nothing
// is fetched any more.
func (h *Held) Close() error {
	h.cancel()
	if c, ok := h.src.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Fetch returns what is kept, or waits for the source.
func (h *Held) Fetch(ctx context.Context, p Params) (Value, error) {
	h.mu.Lock()
	now := time.Now()
	k := h.of(p)
	if now.Before(k.hard) {
		v := k.v
		if !now.Before(k.soft) && !now.Before(k.until) {
			_, _ = h.begin(k, p, now) // whatever comes of it: what is kept is good
		}
		h.mu.Unlock()
		return v, nil
	}
	c, err := k.call, error(nil)
	switch {
	case c != nil:
	case now.Before(k.until):
		err = fmt.Errorf("%w; asked again in %s", k.err, k.until.Sub(now).Round(100*time.Millisecond))
	default:
		c, err = h.begin(k, p, now)
	}
	h.mu.Unlock()
	if err != nil {
		return Value{}, err
	}
	select {
	case <-c.done:
		return c.v, c.err
	case <-ctx.Done():
		return Value{}, fmt.Errorf("%s: %w", h.src, context.Cause(ctx))
	}
}

// of returns what is known of a choice, as the last used.
func (h *Held) of(p Params) *held {
	choice := p.key()
	if e := h.kept[choice]; e != nil {
		h.order.MoveToFront(e)
		return e.Value.(*held)
	}
	k := &held{choice: choice}
	h.kept[choice] = h.order.PushFront(k)
	for e := h.order.Back(); len(h.kept) > h.terms.Choices && e != nil; {
		old, before := e.Value.(*held), e.Prev()
		if old != k && old.call == nil {
			h.order.Remove(e)
			delete(h.kept, old.choice)
		}
		e = before
	}
	return k
}

// begin starts a fetch, unless one is under way or the source is left alone.
func (h *Held) begin(k *held, p Params, now time.Time) (*call, error) {
	switch {
	case k.call != nil:
		return k.call, nil
	case h.ctx.Err() != nil:
		return nil, fmt.Errorf("%s: it is not asked any more", h.src)
	case now.Before(h.rest):
		return nil, fmt.Errorf("%s: it failed %d times in a row and is asked again in %s", h.src, h.fails, h.rest.Sub(now).Round(100*time.Millisecond))
	case h.underway >= maxUnderway:
		return nil, fmt.Errorf("%s: %d fetches are under way", h.src, h.underway)
	}
	if h.fails >= breakAfter { // one tries for all
		h.rest = now.Add(h.terms.Timeout)
	}
	k.call = &call{done: make(chan struct{})}
	h.underway++
	go h.fetch(k, k.call, p)
	return k.call, nil
}

func (h *Held) fetch(k *held, c *call, p Params) {
	ctx, cancel := context.WithTimeoutCause(h.ctx, h.terms.Timeout, fmt.Errorf("no answer within %s", h.terms.Timeout))
	defer cancel()
	v, err := h.ask(ctx, p)
	h.mu.Lock()
	defer h.mu.Unlock()
	defer close(c.done)
	h.underway--
	k.call = nil
	now := time.Now()
	end := now.Add(h.terms.Life)
	if !v.Expires.IsZero() {
		end = v.Expires.Add(-early)
	}
	if err == nil && !end.After(now) {
		err = fmt.Errorf("%s: what it gave ended at %s", h.src, v.Expires.UTC().Format(time.RFC3339))
	}
	if err != nil {
		k.fails++
		k.err, k.until = err, now.Add(pause(k.fails))
		// A choice that never was one may be of a request, and says nothing of the source.
		if k.choice == "" || k.v.Version != "" {
			h.fails++
		}
		if h.fails >= breakAfter {
			h.rest = now.Add(pause(h.fails - breakAfter + 2))
		}
		c.err = err
		return
	}
	k.fails, h.fails, k.err, k.until, h.rest = 0, 0, nil, time.Time{}, time.Time{}
	v.Version = k.v.Version
	if v.Version == "" || !v.same(k.v) {
		h.version++
		v.Version = strconv.Itoa(h.version)
	}
	life := end.Sub(now)
	k.v, k.hard = v, end
	k.soft = now.Add(time.Duration(float64(life) * (soon - 0.1*rand.Float64())))
	c.v = v
}

// ask is a fetch of which nothing escapes but an error.
func (h *Held) ask(ctx context.Context, p Params) (v Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = Value{}, fmt.Errorf("%s: it failed in an unforeseen way", h.src) // what it was about may hold a secret
		}
	}()
	v, err = h.src.Fetch(ctx, p)
	switch {
	case err != nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return Value{}, fmt.Errorf("%s: %w", h.src, context.Cause(ctx))
	case err == nil && v.Secret.v == nil:
		return Value{}, fmt.Errorf("%s: it gave nothing", h.src)
	}
	return v, err
}

// pause is how long to wait after so many failures in a row.
func pause(fails int) time.Duration {
	d := min(time.Second<<min(fails-1, 10), maxRest)
	return d - time.Duration(rand.Int64N(int64(d)/4))
}

// Refused says that a value was turned down where it was used. It reports whether
// another one will be fetched for it: not twice in ten seconds, since whoever
// provokes refusals would have the source asked each time.
func (h *Held) Refused(p Params, version string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.kept[p.key()]
	if e == nil {
		return true
	}
	k, now := e.Value.(*held), time.Now()
	switch {
	case k.v.Version != version: // another one is there already
		return true
	case now.Sub(k.refused) < refusals:
		return false
	}
	k.refused = now // what is kept may be good all the same: whoever provokes refusals takes it from nobody
	_, _ = h.begin(k, p, now)
	return true
}

// Try asks the source now, whatever is kept, and waits. What is kept goes on to be used
// when that fails.
func (h *Held) Try(ctx context.Context, p Params) (Value, error) {
	h.mu.Lock()
	c, err := h.begin(h.of(p), p, time.Now())
	h.mu.Unlock()
	if err != nil {
		return Value{}, err
	}
	select {
	case <-c.done:
		return c.v, c.err
	case <-ctx.Done():
		return Value{}, fmt.Errorf("%s: %w", h.src, context.Cause(ctx))
	}
}

// Expire has every value fetched anew before it is used again.
func (h *Held) Expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for e := h.order.Front(); e != nil; e = e.Next() {
		k := e.Value.(*held)
		k.hard, k.until = time.Time{}, time.Time{}
	}
	h.fails, h.rest = 0, time.Time{}
}

// Ends returns when what is kept for no parameters ends; zero when nothing is kept.
func (h *Held) Ends() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.kept[""]; e != nil {
		return e.Value.(*held).hard
	}
	return time.Time{}
}
