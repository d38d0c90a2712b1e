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
	now, old map[asked]*policy.Decision
	size     int
}

// What was asked is a key, and the sandbox for which it was asked if that matters. A
// sandbox that changes is another.
type asked struct {
	sandbox any // *sandbox.Sandbox
	key     string
}

func newCache() *cache { return &cache{now: map[asked]*policy.Decision{}} }

// get returns a decision that was made before, or nil.
func (c *cache) get(sb any, key []byte) *policy.Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.now[asked{sb, string(key)}]
	if d == nil {
		if d = c.old[asked{sb, string(key)}]; d != nil {
			c.keep(asked{sb, string(key)}, d)
		}
	}
	return d
}

func (c *cache) put(sb any, key []byte, d *policy.Decision) {
	kept := *d
	kept.Cached, kept.Took = true, 0
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(asked{sb, string(key)}, &kept)
}

func (c *cache) keep(q asked, d *policy.Decision) {
	const entry = 512 // of a decision, about
	if c.size += len(q.key) + entry; c.size > cacheBytes {
		c.now, c.old, c.size = map[asked]*policy.Decision{}, c.now, len(q.key)+entry
	}
	c.now[q] = d
}
