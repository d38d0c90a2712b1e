package credentials

import (
	"errors"
	"sync"
)

// Shared are the sources that are held in a process, by what is said of them: a
// configuration that is read again goes on with those of the one before it, and
// what they hold. The zero Shared holds none. It is safe for concurrent use.
type Shared struct {
	mu sync.Mutex
	by map[string]*shared
}

type shared struct {
	held  *Held
	users int
}

// A Lease is the part of them that one configuration uses. It is for one goroutine.
type Lease struct {
	of  *Shared
	has []string
}

// Lease begins one.
func (s *Shared) Lease() *Lease { return &Lease{of: s} }

// Take returns the source of which this is said, and opens it if there is none.
func (l *Lease) Take(said string, open func() (Source, Terms, error)) (*Held, error) {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	x := l.of.by[said]
	if x == nil {
		src, terms, err := open()
		if err != nil {
			return nil, err
		}
		if l.of.by == nil {
			l.of.by = map[string]*shared{}
		}
		x = &shared{held: Hold(src, terms)}
		l.of.by[said] = x
	}
	x.users++
	l.has = append(l.has, said)
	return x.held, nil
}

// Close gives all up, and closes those that nobody else uses. A nil or closed
// Lease has nothing to give up.
func (l *Lease) Close() error {
	if l == nil {
		return nil
	}
	var last []*Held
	l.of.mu.Lock()
	for _, said := range l.has {
		x := l.of.by[said]
		if x.users--; x.users == 0 {
			delete(l.of.by, said)
			last = append(last, x.held)
		}
	}
	l.has = nil
	l.of.mu.Unlock()
	var errs []error
	for _, h := range last {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}
