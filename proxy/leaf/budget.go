package leaf

import (
	"errors"
	"sync"
	"time"

	"sallyport/dest"
)

// ErrBudget means that a sandbox asks for new certificates faster than it may.
var ErrBudget = errors.New("the budget for new certificates is spent")

// A sandbox may have this many leaves made at once, and then this many a second.
const (
	budgetBurst = 256
	budgetRate  = 1
	// budgetNames is how many names Take lets a sandbox ask for again. It is a
	// quarter of the leaves that an Issuer keeps, so that asking for the same
	// names in turn does not push them out there and have them made for nothing.
	budgetNames = 256
)

// A Budget bounds how many leaves one sandbox makes us mint: a token bucket. The
// zero Budget is a full one. It is safe for concurrent use; it is not copied.
type Budget struct {
	mu    sync.Mutex
	left  float64
	at    time.Time // when left was right; zero before the first use
	names *recent[dest.Host, struct{}]
}

// NewBudget returns a full one.
func NewBudget() *Budget { return &Budget{} }

// Take spends on a name that was not asked for lately, before its leaf is asked
// for; one that was is free. The error is ErrBudget. Take does not know what the
// issuer still keeps: LeafWithin does, and is the better way. Use one of them.
func (b *Budget) Take(h dest.Host) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.names == nil {
		b.names = newRecent[dest.Host, struct{}](budgetNames)
	}
	if _, ok := b.names.get(h); ok {
		return nil
	}
	if err := b.spend(); err != nil {
		return err
	}
	b.names.put(h, struct{}{})
	return nil
}

// reserve spends on one leaf that may have to be made.
func (b *Budget) reserve() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spend()
}

// refund gives back what was reserved for a leaf that was not made.
func (b *Budget) refund() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(budgetBurst, b.left+1)
}

func (b *Budget) spend() error {
	now := time.Now()
	if b.at.IsZero() {
		b.left = budgetBurst
	} else {
		b.left = min(budgetBurst, b.left+now.Sub(b.at).Seconds()*budgetRate)
	}
	b.at = now
	if b.left < 1 {
		return ErrBudget
	}
	b.left--
	return nil
}
