package rego

import (
	"sync"

	"sallyport/policy"
)

// cacheBytes is how much of keys each of the two generations of a cache holds;
// maxKey is the longest key.
const (
	cacheBytes = 2 << 20
	maxKey     = 4 << 10
)

// A cache keeps the decisions of one phase by what the phase can read of a
// question: nothing else can change them. It holds what was asked for lately,
// and forgets by generations. It is safe for concurrent use.
type cache struct {
	mu       sync.Mutex
	now, old map[string]cached
	size     int
}

// A cached decision is not changed by anybody. Its sandbox stays, so that the
// address in the key is given to no other.
type cached struct {
	decision *policy.Decision
	sandbox  any
}

func newCache() *cache { return &cache{now: map[string]cached{}} }

// get returns a copy of a decision, of which nothing but its own fields may be set.
func (c *cache) get(key []byte) *policy.Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.now[string(key)]
	if !ok {
		if e, ok = c.old[string(key)]; !ok {
			return nil
		}
		c.keep(string(key), e)
	}
	d := *e.decision
	return &d
}

func (c *cache) put(key []byte, d *policy.Decision, sandbox any) {
	kept := *d
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(string(key), cached{&kept, sandbox})
}

func (c *cache) keep(key string, e cached) {
	const entry = 512 // of a decision, about
	if c.size += len(key) + entry; c.size > cacheBytes {
		c.now, c.old, c.size = map[string]cached{}, c.now, len(key)+entry
	}
	c.now[key] = e
}
