package proxy

import (
	"net/http"
	"sync"
	"time"

	"sallyport/dest"
)

// What a sandbox learns by asking for destinations that do not answer is bounded:
// so many at once, then so many a minute. Each is counted once, however often it is
// asked for, and not at all when it answers.
const (
	failuresAtOnce = 128
	failureEvery   = time.Second // a place in the budget comes back
	failureKnown   = 10 * time.Minute
	failuresKept   = 4096
)

// failures are the destinations that one sandbox tried in vain. They are safe for
// concurrent use.
type failures struct {
	mu    sync.Mutex
	left  float64
	at    time.Time
	tried map[dest.Addr]*try
}

type try struct {
	at      time.Time
	charged bool
}

func newFailures() *failures {
	return &failures{left: failuresAtOnce, at: time.Now(), tried: map[dest.Addr]*try{}}
}

// begin charges the budget for a destination that is not known yet, or refuses.
func (f *failures) begin(to dest.Addr) *Refusal {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = min(f.left+float64(now.Sub(f.at))/float64(failureEvery), failuresAtOnce)
	f.at = now
	if t := f.tried[to]; t != nil && now.Sub(t.at) < failureKnown {
		return nil
	}
	if f.left < 1 {
		return refuse(http.StatusTooManyRequests, "too_many_failures", "this sandbox asked for too many destinations that do not answer")
	}
	f.left--
	if len(f.tried) >= failuresKept {
		clear(f.tried)
	}
	f.tried[to] = &try{now, true}
	return nil
}

// answered gives the budget back what a destination that answers was charged.
func (f *failures) answered(to dest.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tried[to]
	if t == nil {
		return
	}
	t.at = time.Now()
	if t.charged {
		t.charged = false
		f.left = min(f.left+1, failuresAtOnce)
	}
}
