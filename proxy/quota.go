package proxy

import (
	"net/http"
	"sync"
	"time"

	"sallyport/policy"
)

// maxCounters bounds what is counted of one sandbox. Names are written in policies,
// so there are few.
const maxCounters = 256

// quotas count for one sandbox what the limits of its policies say. What is counted
// stays when a policy is loaded anew. The zero quotas have counted nothing. It is
// safe for concurrent use.
type quotas struct {
	mu     sync.Mutex
	rates  map[counter]*tokens
	active map[counter]int64 // under way; none is 0
}

// A counter is whose limit, in which phase, and by which name; and of a rate, over
// which time.
type counter struct {
	policy string
	phase  policy.Phase
	name   string
	per    time.Duration
}

// Tokens are there for each request that may pass, and new ones come with time.
type tokens struct {
	left    float64
	at      time.Time
	version string // of the policy that the numbers are of
	rate    float64
	burst   float64
}

// take counts one more, if all have room for it; done says that it is over. A
// refusal counts nothing.
func (q *quotas) take(d *policy.Decision, list []policy.Quota, now time.Time) (done func(), ref *Refusal) {
	if len(list) == 0 {
		return func() {}, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var wait time.Duration
	for _, l := range list {
		c := counter{l.Policy, d.Phase, l.Name, 0}
		if n := q.active[c]; l.Concurrency > 0 && n >= l.Concurrency {
			return nil, refuse(http.StatusTooManyRequests, "concurrency_limited", "more is under way than the policy lets").operator("limit %q of policy %s: %d at once", l.Name, l.Policy, l.Concurrency)
		}
		if l.Requests == 0 {
			continue
		}
		b, ok := q.bucket(l, d.Phase, now)
		if !ok {
			return nil, refuse(http.StatusTooManyRequests, "rate_limited", "more passed than the policy lets").operator("more than %d limits are counted for this sandbox", maxCounters)
		}
		if wait = max(wait, b.wait()); wait > 0 && ref == nil {
			ref = refuse(http.StatusTooManyRequests, "rate_limited", "more passed than the policy lets").operator("limit %q of policy %s: %d in %v, %d at once", l.Name, l.Policy, l.Requests, l.Per, l.Burst)
		}
	}
	if ref != nil {
		ref.After = wait
		return nil, ref
	}
	var held []counter
	for _, l := range list {
		if l.Requests > 0 {
			q.rates[counter{l.Policy, d.Phase, l.Name, l.Per}].left--
		}
		if l.Concurrency > 0 {
			held = append(held, counter{l.Policy, d.Phase, l.Name, 0})
		}
	}
	return q.hold(held), nil
}

// hold counts what is under way until it is released.
func (q *quotas) hold(held []counter) (release func()) {
	if q.active == nil {
		q.active = map[counter]int64{}
	}
	for _, c := range held {
		q.active[c]++
	}
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, c := range held {
			if q.active[c]--; q.active[c] <= 0 {
				delete(q.active, c)
			}
		}
	}
}

// bucket is that of a limit, filled as it is now; false when there are too many.
func (q *quotas) bucket(l policy.Quota, ph policy.Phase, now time.Time) (*tokens, bool) {
	c := counter{l.Policy, ph, l.Name, l.Per}
	rate, burst := float64(l.Requests)/l.Per.Seconds(), float64(l.Burst)
	b := q.rates[c]
	if b == nil {
		if len(q.rates) >= maxCounters && !q.spare(now) {
			return nil, false
		}
		if q.rates == nil {
			q.rates = map[counter]*tokens{}
		}
		b = &tokens{left: burst, at: now, version: l.Version, rate: rate, burst: burst}
		q.rates[c] = b
		return b, true
	}
	b.fill(now)
	if b.version == l.Version { // two rules of one policy: the smallest of what they say
		rate, burst = min(rate, b.rate), min(burst, b.burst)
	}
	b.version, b.rate, b.burst = l.Version, rate, burst
	b.left = min(b.left, burst)
	return b, true
}

// spare forgets buckets that are as good as new, and reports whether there were any.
func (q *quotas) spare(now time.Time) bool {
	before := len(q.rates)
	for c, b := range q.rates {
		if b.fill(now); b.left >= b.burst {
			delete(q.rates, c)
		}
	}
	return len(q.rates) < before
}

func (b *tokens) fill(now time.Time) {
	if gone := now.Sub(b.at).Seconds(); gone > 0 { // of two that come at once the later may be here first
		b.left, b.at = min(b.burst, b.left+gone*b.rate), now
	}
}

// wait is how long it takes until one more may pass.
func (b *tokens) wait() time.Duration {
	if b.left >= 1 {
		return 0
	}
	return time.Duration((1 - b.left) / b.rate * float64(time.Second))
}
